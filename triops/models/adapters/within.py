"""Layers of one kind of sequences, made to take every kind, and to return what they got."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import prod
from typing import Any, ClassVar

from triops.errors import ArgumentError, DTypeError, ShapeError
from triops.models.adapters.conversions import ARRAY, LIST, PADDED, RAGGED, convert, kind_of, rows_kept
from triops.models.combinators.combinator import Combinator
from triops.models.model import Model
from triops.models.seeds import derive_seed
from triops.ragged import Joined, Padded, Ragged
from triops.types import Backprop

__all__ = ["with_array", "with_flatten", "with_list", "with_padded", "with_ragged", "with_reshape"]

# What goes into the layer, and what comes out of it, for X and likewise for their gradients.
Ways = tuple[Callable[[Any], Any], Callable[[Any], Any]]


class Within(Combinator):
    """Y = out(f(into(X))), and dX = out(f'(into(dY))). A subclass says what `into` and `out` are for an X."""

    def __init__(self, layer: Model) -> None:
        names = layer.dim_names if isinstance(layer, Model) else ()
        super().__init__([layer], dims=[dim for dim in names if dim in ("nI", "nO")])
        self._take_dims()

    @property
    def expects_logit_gradient(self) -> bool:
        return self.layers[0].expects_logit_gradient

    def ways(self, X: Any) -> Ways:
        """The functions `into` and `out` for an input, or a gradient, like X."""
        raise NotImplementedError

    def infer_dims(self, X: Any, Y: Any) -> None:
        """The layer infers its own."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        self.layers[0].initialize(self._sample(X), self._sample(Y), derive_seed(seed, 0))
        self._take_dims()

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        if isinstance(X, list | tuple) and not X:  # an empty list has no width that the layer could check
            return [], lambda dY, sgd=None: []
        into, out = self.ways(X)
        Y, callback = self.layers[0].begin_update(into(X), drop)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            dX = callback(into(dY))
            return None if dX is None else out(dX)

        return out(Y), backprop

    def _sample(self, data: Any) -> Any:
        if data is None or (isinstance(data, list | tuple) and not data):
            return None
        try:
            return self.ways(data)[0](data)
        except DTypeError:  # labels, which may be of any form
            return data

    def _take_dims(self) -> None:
        for dim in self.dim_names:
            self.take_dim(dim, self.layers[0].maybe_get_dim(dim))


class with_array(Within):
    """Y = f(X's rows) in the form of X. f takes an array of rows, and returns as many.

    X: a list of arrays (Tₙ, ...), Ragged, Padded or an array; Y: as X. A list costs one concatenation and is
    split into views; the data of Ragged goes in as it is; of Padded all (L N) rows do, and those of no sequence
    come out as zeros. pad: as many rows of zeros go between the arrays of a list, as for windows that must not
    cross them.
    """

    def __init__(self, layer: Model, pad: int = 0) -> None:
        super().__init__(layer)
        if not hasattr(pad, "__index__") or pad < 0:
            raise ArgumentError(f"with_array: pad must be an integer from 0, got {pad!r}")
        self.attrs["pad"] = int(pad)

    def ways(self, X: Any) -> Ways:
        return _ARRAYS[kind_of(self.ops, X)](self, X)


class with_flatten(with_array):
    """Y = f(X's items), an array for each of X's lists. f takes one list of items of any kind, such as strings,
    and returns an array with a row for each.

    X: N lists of items; Y: N arrays (Tₙ, ...). Arrays, Ragged and Padded are taken as `with_array` takes them.
    """

    def __init__(self, layer: Model) -> None:
        super().__init__(layer)

    def ways(self, X: Any) -> Ways:
        if not isinstance(X, list | tuple) or not all(isinstance(items, list | tuple) for items in X):
            return super().ways(X)
        lengths = [len(items) for items in X]

        def into(nested: Any) -> Any:
            if all(map(self.ops.backend.is_array, nested)):
                return self.ops.flatten(nested)
            return [item for items in nested for item in items]

        def out(rows: Any) -> list[Any]:
            if isinstance(rows, list | tuple):
                ends = list(accumulate(lengths))
                return [list(rows[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
            return self.ops.unflatten(rows_kept(rows, sum(lengths)), lengths)

        return into, out


class _WithKind(Within):
    kind: ClassVar[str]

    def ways(self, X: Any) -> Ways:
        came = kind_of(self.ops, X)
        return (
            lambda data: convert(self.ops, data, self.kind),
            lambda data: convert(self.ops, data, came, like=X),
        )


class with_list(_WithKind):
    """Y = f(X as a list) in the form of X. f takes a list of arrays and returns as many.

    X: a list of arrays (Tₙ, ...), Ragged, Padded, or an array, which is one sequence; Y: as X.
    """

    kind = LIST


class with_ragged(_WithKind):
    """Y = f(X as Ragged) in the form of X. f takes Ragged and returns as many sequences.

    X: a list of arrays (Tₙ, ...), Ragged, Padded, or an array, which is one sequence; Y: as X.
    """

    kind = RAGGED


class with_padded(_WithKind):
    """Y = f(X as Padded) in the form of X. f takes Padded and returns as many sequences.

    X: a list of arrays (Tₙ, ...), Ragged, Padded, or an array (L, N, ...) of N sequences of L steps; Y: as X.
    """

    kind = PADDED

    def ways(self, X: Any) -> Ways:
        if kind_of(self.ops, X) != ARRAY:
            return super().ways(X)
        if X.ndim < 3:
            raise ShapeError(
                f"X must be an array (L, N, ...) of N sequences of L steps, got shape {tuple(X.shape)}: put "
                f"sequences in a list"
            )
        steps, count = X.shape[:2]
        sizes, lengths, indices = (
            self.ops.asarray(numbers, "int32") for numbers in ([count] * steps, [steps] * count, range(count))
        )
        return lambda data: Padded(data, sizes, lengths, indices), lambda padded: padded.data


class with_reshape(Within):
    """Y = f(X as rows) in the shape of X. f takes an array of two dimensions and returns as many rows.

    X: (..., nI). Y: (..., nO).
    """

    def ways(self, X: Any) -> Ways:
        if not self.ops.backend.is_array(X) or X.ndim < 1:
            raise DTypeError(
                f"X must be an array with a width, got {type(X).__name__}: use with_array for sequences"
            )
        *extents, _ = X.shape
        rows = prod(extents)

        def into(data: Any) -> Any:
            return data.reshape((rows, data.shape[-1]))

        return into, lambda data: rows_kept(data, rows).reshape((*extents, *data.shape[1:]))


def _of_list(self: with_array, Xs: Any) -> Ways:
    pad = self.attrs["pad"]
    lengths = Xs.lengths if isinstance(Xs, Joined) else [X.shape[0] for X in Xs]
    return (
        lambda arrays: self.ops.flatten(arrays, pad=pad),
        lambda rows: self.ops.unflatten(rows, lengths, pad=pad),
    )


def _of_ragged(self: with_array, X: Ragged) -> Ways:
    rows = X.data.shape[0]
    return lambda ragged: ragged.data, lambda data: Ragged(rows_kept(data, rows), X.lengths)


def _of_padded(self: with_array, X: Padded) -> Ways:
    xp, (steps, count) = self.ops.xp, X.data.shape[:2]
    there = xp.arange(steps, dtype="int32")[:, None] < X.lengths

    def masked(data: Any) -> Any:
        return xp.where(there.reshape((*there.shape, *(1,) * (data.ndim - 2))), data, 0)

    def into(padded: Padded) -> Any:
        data = padded.data if padded is X else masked(padded.data)
        return data.reshape((steps * count, *data.shape[2:]))

    def out(data: Any) -> Padded:
        padded = rows_kept(data, steps * count).reshape((steps, count, *data.shape[1:]))
        return Padded(masked(padded), X.size_at_t, X.lengths, X.indices)

    return into, out


_ARRAYS: dict[str, Callable[[with_array, Any], Ways]] = {
    LIST: _of_list,
    RAGGED: _of_ragged,
    PADDED: _of_padded,
    ARRAY: lambda self, X: (_same, _same),
}


def _same(data: Any) -> Any:
    return data
