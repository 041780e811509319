"""Batches as programs take them: as they are, a program for each combination of shapes and lengths; or sequences
that are filled up to few numbers of rows and sequences, with their lengths as data."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from triops.errors import UnknownLengths
from triops.models.adapters.conversions import LIST, PADDED, RAGGED, convert, kind_of
from triops.models.compile.buckets import Part, Sizes
from triops.models.compile.forms import (
    ARRAY,
    Form,
    axes_of,
    gradients_of,
    put_together,
    signature,
    take_apart,
    with_gradients,
)
from triops.ops import Ops
from triops.ops.base import is_float
from triops.ops.bounds import Bounds, bounded
from triops.ragged import Joined, Padded, Ragged

__all__ = ["Batch", "FilledBatch", "batch_of", "shared_out"]


class Batch:
    """A batch as it is. arrays: what a program gets. axes: the dimension of each along which it can be divided.
    known: what a trace knew of lengths that it did not know."""

    known: Bounds | None = None

    def __init__(self, ops: Ops, X: Any, truths: Any = None) -> None:
        self._ops = ops
        self.arrays, self._form = take_apart(ops, (X, truths))

    @cached_property
    def axes(self) -> Sequence[int | None]:
        axes = zip(self.arrays, axes_of(self._form), strict=True)
        return [axis if array.ndim > axis else None for array, axis in axes]

    @property
    def told(self) -> str:
        """The shape of what varies between batches, for a warning."""
        return f"{self._form.inside[0].kind.__name__} of {[tuple(array.shape) for array in self.arrays][:3]}"

    def key(self, longest: bool) -> Hashable:
        """What tells its program from others; `longest` where a layer asks for the longest length."""
        return self._form, signature(self.arrays)

    # -- while a program is traced

    @contextmanager
    def entered(self, given: list[Any]) -> Iterator[tuple[Any, Any]]:
        """X and truths out of the arrays that the program is given."""
        yield put_together(self._form, given)

    @contextmanager
    def entered_again(self) -> Iterator[None]:
        """The same for what is traced later."""
        with bounded(self.known):
            yield

    def outputs(self, Y: Any) -> tuple[list[Any], Any]:
        """The arrays of what the model returned, and their form."""
        return take_apart(self._ops, Y)

    def gradient(self, Y: Any, arrays: Iterator[Any]) -> Any:
        """The gradient of Y out of those of its floating arrays."""
        return with_gradients(self._ops, Y, arrays)

    def summed(self, loss: Any, gradients: list[Any], changes: list[Any]) -> tuple[Any, list[Any]]:
        """Loss and gradients of the batch, out of what a pass found. changes: the state that it set."""
        return loss, gradients

    def once(self, arrays: list[Any]) -> list[Any]:
        """Gradients of earlier, to be among those."""
        return arrays

    # -- when it runs

    def result(self, form: Any, arrays: Sequence[Any]) -> Any:
        """What the model would have returned."""
        return put_together(form, arrays)

    def gradients(self, form: Any, outputs: Sequence[Any], dY: Any) -> list[Any]:
        """The gradients of the floating arrays of Y."""
        return gradients_of(self._ops, put_together(form, outputs), dY)


class FilledBatch(Batch):
    """Sequences with more rows and sequences after their own. All rows that were added belong to the sequences
    that were, of one row at least each: what mixes rows keeps to a sequence, and so leaves the batch's own
    alone."""

    def __init__(
        self, sizes: Sizes, longest: bool, ops: Ops, X: Any, truths: Any, rows: Any, lengths: list[int]
    ) -> None:
        self._ops, self._X, self._kind, self._lengths = ops, X, kind_of(ops, X), lengths
        np = ops.backend.host.namespace
        self.rows, self.sequences = len(rows), len(lengths)
        part = Part(self.rows, self.sequences)
        self.all_rows, self.all_sequences, self._longest = sizes.of([part], max(lengths) if longest else 0)
        added = shared_out(self.all_rows - self.rows, self.all_sequences - self.sequences)
        filled = np.array([*lengths, *added], "int32")
        self._longest = max(self._longest, *lengths, *added)
        truth_arrays, self._truths = take_apart(ops, truths)
        on_host = [self._up(rows), filled, np.array([self.rows, self.sequences], "int32")]
        on_host += [self._up(ops.to_numpy(array)) for array in truth_arrays]
        # A program takes arrays of the host in less time than the backend does, but for those of 64 bits.
        self.arrays = [
            array if array.dtype.itemsize < 8 else ops.backend.from_host([array])[0] for array in on_host
        ]

    @property
    def told(self) -> str:
        return f"{self.all_sequences} sequences of {self.all_rows} rows, at most {self._longest} in one"

    def key(self, longest: bool) -> Hashable:
        return self._kind, self._truths, signature(self.arrays), self._longest if longest else 0

    @contextmanager
    def entered(self, given: list[Any]) -> Iterator[tuple[Any, Any]]:
        rows, lengths, real, *truths = given
        self.known = self._bounds(lengths, real)
        with bounded(self.known):
            yield self._formed(self._kind, rows), put_together(self._truths, truths)

    def outputs(self, Y: Any) -> tuple[list[Any], Any]:
        arrays: list[Any] = []
        return arrays, self._form_of(Y, arrays)

    def gradient(self, Y: Any, arrays: Iterator[Any]) -> Any:
        if isinstance(Y, Joined | Ragged | Padded) and not is_float(Y.data.dtype):
            return None
        if isinstance(Y, Joined):
            return Joined(next(arrays), Y.lengths)
        if isinstance(Y, Ragged):
            return Ragged(next(arrays), Y.lengths)
        if isinstance(Y, Padded):
            assert self.known is not None
            return convert(self._ops, Ragged(next(arrays), self.known.lengths), PADDED, like=Y)
        if isinstance(Y, list | tuple):
            return type(Y)(self.gradient(y, arrays) for y in Y)
        return next(arrays) if self._ops.backend.is_array(Y) and is_float(Y.dtype) else None

    def result(self, form: Any, arrays: Sequence[Any]) -> Any:
        return self._built(form, iter(arrays))

    def gradients(self, form: Any, outputs: Sequence[Any], dY: Any) -> list[Any]:
        return self._gradients(form, iter(outputs), dY)

    # -- the parts of that

    def _bounds(self, lengths: Any, real: Any) -> Bounds:
        return Bounds(lengths, self.all_rows, self._longest, real[0], real[1])

    def _form_of(self, item: Any, arrays: list[Any]) -> Form:
        ops, known = self._ops, self.known
        assert known is not None
        if isinstance(item, Joined | Ragged | Padded):
            if not known.knows(item.lengths):
                raise UnknownLengths("the lengths of Y are not those of X, and not known while compiling")
            arrays.append((ops.padded2ragged(item) if isinstance(item, Padded) else item).data)
            return Form(type(item))
        if isinstance(item, list | tuple):
            return Form(type(item), tuple(self._form_of(each, arrays) for each in item))
        if not ops.backend.is_array(item):
            return Form(type(item), (), item)
        own = {self.all_rows: self.rows, self.all_sequences: self.sequences}
        if not item.ndim or item.shape[0] not in own:
            raise UnknownLengths("Y has neither a row for each row of X nor one for each sequence")
        arrays.append(item)
        return Form(ARRAY.kind, (), item.shape[0] == self.all_rows)

    def _formed(self, kind: str, rows: Any) -> Any:
        assert self.known is not None
        if kind == LIST:
            return Joined(rows, self.known.lengths)
        return convert(self._ops, Ragged(rows, self.known.lengths), kind)

    def _built(self, form: Form, arrays: Iterator[Any]) -> Any:
        ops, kind = self._ops, form.kind
        if kind is ARRAY.kind:
            return self._down(next(arrays), self.rows if form.rest else self.sequences)
        if issubclass(kind, Joined):
            host = ops.to_numpy(next(arrays))[: self.rows]
            splits = ops.backend.host.namespace.cumsum(self._lengths)[:-1]
            return ops.backend.from_host(ops.backend.host.namespace.split(host, splits))
        if issubclass(kind, Ragged):
            return Ragged(self._down(next(arrays), self.rows), self._own_lengths)
        if issubclass(kind, Padded):
            rows = Ragged(self._down(next(arrays), self.rows), self._own_lengths)
            return convert(ops, rows, PADDED, like=self._X if isinstance(self._X, Padded) else None)
        if issubclass(kind, list | tuple):
            return kind(self._built(inside, arrays) for inside in form.inside)
        return form.rest

    def _gradients(self, form: Form, outputs: Iterator[Any], dY: Any) -> list[Any]:
        ops, kind = self._ops, form.kind
        if issubclass(kind, list | tuple) and not issubclass(kind, Joined):
            items = [None] * len(form.inside) if dY is None else dY
            pairs = zip(form.inside, items, strict=True)
            return [each for inside, item in pairs for each in self._gradients(inside, outputs, item)]
        if kind is not ARRAY.kind and not issubclass(kind, Joined | Ragged | Padded):
            return []
        Y = next(outputs)
        if not is_float(Y.dtype):
            return []
        if dY is None:
            return [ops.alloc(Y.shape, Y.dtype)]
        if kind is not ARRAY.kind:
            dY = convert(ops, dY, RAGGED).data
        return ops.backend.from_host([self._up(ops.to_numpy(dY))])

    @property
    def _own_lengths(self) -> Any:
        X = self._X
        return X.lengths if isinstance(X, Ragged) else self._ops.asarray(self._lengths, "int32")

    def _up(self, host: Any) -> Any:
        """An array of the host with as many rows as the batch is filled up to."""
        counts = {self.rows: self.all_rows, self.sequences: self.all_sequences}
        if host.shape[:1] == () or host.shape[0] not in counts:
            return host
        filled = self._ops.backend.host.namespace.zeros((counts[host.shape[0]], *host.shape[1:]), host.dtype)
        filled[: host.shape[0]] = host
        return filled

    def _down(self, array: Any, count: int) -> Any:
        # On the host: on the device each number of rows would be one more program.
        return self._ops.backend.from_host([self._ops.to_numpy(array)[:count]])[0]


def shared_out(rows: int, sequences: int) -> list[int]:
    """The lengths of that many sequences with that many rows."""
    each, more = divmod(rows, sequences)
    return [each + (i < more) for i in range(sequences)]


def batch_of(
    ops: Ops,
    X: Any,
    truths: Any = None,
    *,
    filled: Callable[..., FilledBatch] | None = None,
) -> Batch:
    """The batch, filled up where it is one of sequences that all have rows, of one kind. filled: what does so, if
    anything."""
    if filled is None or not isinstance(X, Ragged | Padded | list) or not len(X):
        return Batch(ops, X, truths)
    is_array = ops.backend.is_array
    if isinstance(X, list):
        if not all(map(is_array, X)) or len({(x.shape[1:], x.dtype) for x in X}) > 1 or not X[0].ndim:
            return Batch(ops, X, truths)
        pieces = [ops.to_numpy(x) for x in X]
        rows, lengths = ops.backend.host.namespace.concatenate(pieces), [len(piece) for piece in pieces]
    else:
        ragged = convert(ops, X, RAGGED) if is_array(X.data) else None
        if ragged is None:
            return Batch(ops, X, truths)
        rows, lengths = ops.to_numpy(ragged.data), ops.to_numpy(ragged.lengths).tolist()
    # Of an empty sequence no layer could say that it must not be; and truths must be of one or the other.
    if min(lengths) < 1 or sum(lengths) != len(rows) or len(rows) == len(lengths):
        return Batch(ops, X, truths)
    return filled(ops, X, truths, rows, lengths)
