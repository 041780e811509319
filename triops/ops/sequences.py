"""Lists of arrays as one array, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triops.errors import ArgumentError, DTypeError, ShapeError, UnknownLengths
from triops.ops.bounds import bounds
from triops.ops.formulas.places import padded_places, unpadded_places
from triops.ops.lengths import LengthOps
from triops.ragged import Joined, Padded, Ragged
from triops.types import Array, Ints1d

__all__ = ["SequenceOps"]


class SequenceOps(LengthOps):
    """flatten, pad, list2padded, ragged2padded and their inverses, for arrays of any dtype. Each inverse is the
    gradient too.

    The arrays of one list share their dtype and all but their first extent: ShapeError or DTypeError is raised
    else. Lengths are read, so they cannot be given while compiling.
    """

    def flatten(self, Xs: Sequence[Array], pad: int = 0) -> Array:
        """The rows of all arrays one after another, with `pad` rows of zeros before, between and after them.

        Xs: N arrays (Tₙ, ...). Returns (Σ Tₙ, ...), and pad (N+1) rows more. As in Thinc an empty array gets no
        zeros around it; no array at all gives (0, 0) of float32.
        """
        if isinstance(Xs, Joined) and not pad:
            return Xs.data
        self._alike("flatten", Xs)
        if pad < 0:
            raise ArgumentError(f"flatten: pad must be 0 or more, got {pad}")
        if not len(Xs):
            return self._nothing(2)
        filled = [X for X in Xs if X.shape[0]]
        if not filled:
            return Xs[0]
        if pad:
            gap = self._zeros(pad, Xs[0])
            filled = [gap, *(piece for X in filled for piece in (X, gap))]
        return self._joined(filled)

    def unflatten(self, X: Array, lengths: Ints1d | Sequence[int], pad: int = 0) -> list[Array]:
        """The arrays that `flatten` made one of, views of X where the backend has views.

        X: (T, ...). lengths: (N,), the rows of each array, without zeros, as numbers or as an array. pad: as
        given to `flatten`. Returns N arrays (lengths[n], ...). Raises ShapeError where lengths and pad do not
        add up to T.
        """
        self.check_owner("unflatten", "X", X)
        if pad < 0:
            raise ArgumentError(f"unflatten: pad must be 0 or more, got {pad}")
        if X.ndim < 1:
            raise ShapeError("unflatten: X must have rows, got shape ()")
        if not pad and bounds() is not None and self.backend.is_traced(lengths):
            return Joined(X, lengths)  # type: ignore[arg-type]
        counts = self._numbers("unflatten", lengths)
        filled = sum(count > 0 for count in counts)
        total = sum(counts) + pad * (filled + 1 if filled else 0)
        if total != X.shape[0]:
            raise ShapeError(
                f"unflatten: lengths, with pad {pad}, must add up to the rows of X, {X.shape[0]}, got {total}"
            )
        free, (rows,) = self._movable([X])
        arrays, start = [], 0
        for count in counts:
            start += pad if count else 0
            arrays.append(rows[start : start + count])
            start += count
        return self.backend.from_host(arrays) if free else arrays

    def pad(self, seqs: Sequence[Array], round_to: int = 1) -> Array:
        """The arrays side by side, with zeros after the end of each up to the longest.

        seqs: N arrays (Tₙ, ...), at least one. round_to: the common length is rounded up to a multiple of this.
        Returns (N, L, ...).
        """
        self._alike("pad", seqs)
        if round_to < 1:
            raise ArgumentError(f"pad: round_to must be 1 or more, got {round_to}")
        if not len(seqs):
            raise ArgumentError("pad: seqs must have at least one array, got none")
        longest = max(seq.shape[0] for seq in seqs)
        longest += -longest % round_to
        zeros = self._zeros(longest, seqs[0])
        pieces = [piece for seq in seqs for piece in (seq, zeros[seq.shape[0] :]) if piece.shape[0]]
        shape = (len(seqs), longest, *seqs[0].shape[1:])
        padded: Array = (self._joined(pieces) if pieces else zeros).reshape(shape)
        return padded

    def unpad(self, padded: Array, lengths: Ints1d | Sequence[int]) -> list[Array]:
        """The arrays that `pad` put side by side.

        padded: (N, L, ...). lengths: N integers up to L, as numbers or as an array. Returns N arrays
        (lengths[n], ...). Raises ShapeError for lengths out of range.
        """
        self.check_owner("unpad", "padded", padded)
        if padded.ndim < 2:
            raise ShapeError(f"unpad: padded must have 2 dimensions or more, got shape {tuple(padded.shape)}")
        counts = self._numbers("unpad", lengths)
        self._fit("unpad", counts, padded.shape[0], padded.shape[1])
        return [padded[n, :count] for n, count in enumerate(counts)]

    def list2padded(self, seqs: Sequence[Array]) -> Padded:
        """The arrays side by side by step, the longest first; of equal lengths the last first, as in Thinc.

        seqs: N arrays (Tₙ, ...). Returns Padded, with data (L, N, ...), float32 (0, 0, 0) for
        no array at all.
        """
        self._alike("list2padded", seqs)
        if not len(seqs):
            nothing = self.backend.asarray([], "int32")
            return Padded(self._nothing(3), nothing, nothing, nothing)
        return self._side_by_side(seqs, [seq.shape[0] for seq in seqs], None)

    def padded2list(self, padded: Padded) -> list[Array]:
        """The arrays that `list2padded` put side by side, in their old order.

        padded: N sequences. Returns N arrays (lengths[n], ...). Raises ShapeError for lengths or indices out of
        range.
        """
        data, counts = self._one_after_another("padded2list", padded)
        return self.unflatten(data, counts)

    def ragged2padded(self, X: Ragged, indices: Ints1d | None = None) -> Padded:
        """Sequences that lie one after another side by side by step, as `list2padded` puts them.

        X: N sequences. indices: (N,), the order they are put in, longest first; None sorts them. Returns Padded,
        with data (L, N, ...). Raises ShapeError where the lengths do not add up to the rows, or do not fall in
        the order given.
        """
        op = "ragged2padded"
        self.check_owner(op, "X.data", X.data)
        if (longest := self._longest(X.lengths)) is not None:
            order, sizes, falling, rows = padded_places(self.xp, X.lengths, X.data.shape[0], longest, indices)
            data = self.xp.concatenate((X.data, self._zeros(1, X.data)))[rows]
            known = bounds()
            return Padded(data, sizes, falling if known is None else known.derive(falling), order)
        counts = self._counts(op, X.lengths)
        if sum(counts) != X.data.shape[0]:
            raise ShapeError(
                f"{op}: lengths must add up to the rows of data, {X.data.shape[0]}, got {sum(counts)}"
            )
        order = None if indices is None else self._order(op, indices, len(counts))
        falling = counts if order is None else [counts[n] for n in order]
        if order is not None and falling != sorted(falling, reverse=True):
            raise ShapeError(f"{op}: indices must put the longest first, got the lengths {falling[:10]}")
        return self._side_by_side([X.data], counts, order)

    def padded2ragged(self, padded: Padded) -> Ragged:
        """The sequences that `ragged2padded` put side by side one after another, in their old order.

        padded: N sequences. Returns Ragged, with lengths of int32. Raises ShapeError for lengths or indices out
        of range.
        """
        known = bounds()
        if known is not None and known.knows(padded.lengths):
            steps, count, *others = padded.data.shape
            lengths, rows = unpadded_places(self.xp, padded.lengths, padded.indices, known.rows)
            return Ragged(padded.data.reshape((steps * count, *others))[rows], known.derive(lengths))
        data, counts = self._one_after_another("padded2ragged", padded)
        return Ragged(data, self.backend.asarray(counts, "int32"))

    def _longest(self, lengths: Ints1d) -> int | None:
        """A bound for lengths that are not known themselves, where there is one."""
        known = bounds()
        return None if known is None or not self.backend.is_traced(lengths) else known.longest_of(lengths)

    def _side_by_side(self, pieces: Sequence[Array], counts: list[int], order: list[int] | None) -> Padded:
        indices, sizes, lengths, rows = self.backend.host.padding(counts, order)
        # The last row is the zero of every step that a sequence does not have.
        data = self._rows([*pieces, self._zeros(1, pieces[0])], rows)
        return Padded(data, *self.backend.from_host([x.astype("int32") for x in (sizes, lengths, indices)]))

    def _one_after_another(self, op: str, padded: Padded) -> tuple[Array, list[int]]:
        self.check_owner(op, "padded.data", padded.data)
        lengths, (longest, count) = self._counts(op, padded.lengths), padded.data.shape[:2]
        self._fit(op, lengths, count, longest)
        order = self._order(op, padded.indices, count)
        counts, rows = self.backend.host.unpadding(lengths, order)
        return self._rows([padded.data], rows, merged=True), counts.tolist()

    def _order(self, op: str, indices: Ints1d, count: int) -> list[int]:
        order = self._counts(op, indices)
        if sorted(order) != list(range(count)):
            raise ShapeError(f"{op}: indices must be each number below {count} once, got {order[:10]}")
        return order

    def _rows(self, pieces: list[Array], rows: Any, *, merged: bool = False) -> Array:
        """The rows of the pieces one after another, with numbers that the host gives; `merged` counts the rows
        of a piece along its first two dimensions."""
        free, pieces = self._movable(pieces)
        xp = self.backend.host.namespace if free else self.xp
        whole = pieces[0] if len(pieces) == 1 else xp.concatenate(pieces)
        if merged:
            whole = whole.reshape((whole.shape[0] * whole.shape[1], *whole.shape[2:]))
        taken: Array = xp.take(whole, rows if free else self.backend.from_host([rows])[0], axis=0)
        return self._back(taken) if free else taken

    def _back(self, moved: Array) -> Array:
        array: Array = self.backend.from_host([moved])[0]
        return array

    def _movable(self, arrays: Sequence[Array]) -> tuple[bool, list[Any]]:
        """Whether rows may be moved about on the host, and the arrays there: a compiler that shares its memory
        would compile anew for each new list of lengths."""
        if self.xp is self.backend.host.namespace:
            return True, list(arrays)
        if self.backend.reads_host_memory and not any(map(self.backend.is_traced, arrays)):
            return True, [self.backend.to_numpy(array) for array in arrays]
        return False, list(arrays)

    def _alike(self, op: str, arrays: Sequence[Array]) -> None:
        owns, dtype = self._owns, None
        shape: tuple[int, ...] = ()
        for n, array in enumerate(arrays):
            if not owns(array):
                self.check_owner(op, f"array {n}", array)
            if not array.shape:
                raise ShapeError(f"{op}: array {n} must have rows, got shape ()")
            if n == 0:
                shape, dtype = array.shape[1:], array.dtype
            if array.shape[1:] != shape:
                raise ShapeError(
                    f"{op}: all arrays must have the shape of the first but for their rows, "
                    f"{('T', *arrays[0].shape[1:])}, got {tuple(array.shape)} for array {n}"
                )
            if array.dtype is not dtype and array.dtype != dtype:
                raise DTypeError(
                    f"{op}: array {n} is {array.dtype} and array 0 is {arrays[0].dtype}: convert one of them"
                )

    def _numbers(self, op: str, lengths: Ints1d | Sequence[int]) -> list[int]:
        return _no_less(op, list(lengths)) if isinstance(lengths, list | tuple) else self._counts(op, lengths)  # type: ignore[arg-type]

    def _counts(self, op: str, lengths: Ints1d) -> list[int]:
        self._ints(op, "lengths", lengths)
        self._rank(op, "lengths", lengths, 1)
        if self.backend.is_traced(lengths):
            raise UnknownLengths(f"{op}: lengths must be known, and are not while compiling: split outside of it")
        return _no_less(op, self.backend.to_numpy(lengths).tolist())

    def _fit(self, op: str, counts: list[int], count: int, longest: int) -> None:
        if len(counts) != count:
            raise ShapeError(f"{op}: lengths must be {count}, one for each sequence, got {len(counts)}")
        if counts and (min(counts) < 0 or max(counts) > longest):
            wrong = min(counts) if min(counts) < 0 else max(counts)
            raise ShapeError(f"{op}: lengths must be from 0 to {longest}, got {wrong}")

    def _joined(self, arrays: list[Array]) -> Array:
        free, pieces = self._movable(arrays)
        joined: Array = (self.backend.host.namespace if free else self.xp).concatenate(pieces)
        return self._back(joined) if free else joined

    def _zeros(self, rows: int, like: Array) -> Array:
        zeros: Array = self.backend.alloc((rows, *like.shape[1:]), like.dtype, zeros=True)
        return zeros

    def _nothing(self, ndim: int) -> Array:
        nothing: Array = self.backend.alloc((0,) * ndim, "float32", zeros=True)
        return nothing


def _no_less(op: str, counts: list[int]) -> list[int]:
    """The counts, where none is below zero."""
    if counts and min(counts) < 0:
        raise ShapeError(f"{op}: lengths must all be 0 or more, got {min(counts)}")
    return counts
