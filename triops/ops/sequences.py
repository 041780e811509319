"""Lists of arrays as one array, and back."""

from __future__ import annotations

from collections.abc import Sequence

from triops.errors import ArgumentError, DTypeError, ShapeError
from triops.ops.lengths import LengthOps
from triops.ragged import Padded
from triops.types import Array, Ints1d

__all__ = ["SequenceOps"]


class SequenceOps(LengthOps):
    """flatten, pad, list2padded and their inverses, for arrays of any dtype. Each inverse is the gradient too.

    The arrays of one list share their dtype and all but their first extent: ShapeError or DTypeError is raised
    else. Lengths are read, so they cannot be given while compiling.
    """

    def flatten(self, Xs: Sequence[Array], pad: int = 0) -> Array:
        """The rows of all arrays one after another, with `pad` rows of zeros before, between and after them.

        Xs: N arrays (Tₙ, ...). Returns (Σ Tₙ, ...), and pad (N+1) rows more. As in Thinc an empty array gets no
        zeros around it; no array at all gives (0, 0) of float32.
        """
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

    def unflatten(self, X: Array, lengths: Ints1d, pad: int = 0) -> list[Array]:
        """The arrays that `flatten` made one of.

        X: (T, ...). lengths: (N,), the rows of each array, without zeros. pad: as given to `flatten`. Returns N
        arrays (lengths[n], ...). Raises ShapeError where lengths and pad do not add up to T.
        """
        self.check_owner("unflatten", "X", X)
        if pad < 0:
            raise ArgumentError(f"unflatten: pad must be 0 or more, got {pad}")
        if X.ndim < 1:
            raise ShapeError("unflatten: X must have rows, got shape ()")
        counts = self._counts("unflatten", lengths)
        filled = sum(count > 0 for count in counts)
        total = sum(counts) + pad * (filled + 1 if filled else 0)
        if total != X.shape[0]:
            raise ShapeError(
                f"unflatten: lengths, with pad {pad}, must add up to the rows of X, {X.shape[0]}, got {total}"
            )
        arrays, start = [], 0
        for count in counts:
            start += pad if count else 0
            arrays.append(X[start : start + count])
            start += count
        return arrays

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
        counts = self._counts("unpad", lengths) if isinstance(lengths, Array) else list(lengths)
        self._fit("unpad", counts, padded.shape[0], padded.shape[1])
        return [padded[n, :count] for n, count in enumerate(counts)]

    def list2padded(self, seqs: Sequence[Array]) -> Padded:
        """The arrays side by side by step, the longest first; of equal lengths the last first, as in Thinc.

        seqs: N arrays (Tₙ, ...). Returns Padded, with data (L, N, ...), float32 (0, 0, 0) for
        no array at all.
        """
        self._alike("list2padded", seqs)
        order = sorted(range(len(seqs)), key=lambda n: (seqs[n].shape[0], n), reverse=True)
        lengths = [seqs[n].shape[0] for n in order]
        sizes = [sum(length > t for length in lengths) for t in range(lengths[0] if lengths else 0)]
        data = self.xp.swapaxes(self.pad([seqs[n] for n in order]), 0, 1) if order else self._nothing(3)
        size_at_t, counts, indices = (self.backend.asarray(x, "int32") for x in (sizes, lengths, order))
        return Padded(data, size_at_t, counts, indices)

    def padded2list(self, padded: Padded) -> list[Array]:
        """The arrays that `list2padded` put side by side, in their old order.

        padded: N sequences. Returns N arrays (lengths[n], ...). Raises ShapeError for lengths or indices out of
        range.
        """
        op = "padded2list"
        self.check_owner(op, "padded.data", padded.data)
        lengths, indices = self._counts(op, padded.lengths), self._counts(op, padded.indices)
        self._fit(op, lengths, padded.data.shape[1], padded.data.shape[0])
        if sorted(indices) != list(range(len(indices))):
            raise ShapeError(f"{op}: indices must be each number below {len(indices)} once, got {indices[:10]}")
        found = dict(zip(indices, range(len(indices)), strict=True))
        return [padded.data[: lengths[found[n]], found[n]] for n in range(len(indices))]

    def _alike(self, op: str, arrays: Sequence[Array]) -> None:
        for n, array in enumerate(arrays):
            self.check_owner(op, f"array {n}", array)
            if array.ndim < 1:
                raise ShapeError(f"{op}: array {n} must have rows, got shape ()")
            if array.shape[1:] != arrays[0].shape[1:]:
                raise ShapeError(
                    f"{op}: all arrays must have the shape of the first but for their rows, "
                    f"{('T', *arrays[0].shape[1:])}, got {tuple(array.shape)} for array {n}"
                )
            if array.dtype != arrays[0].dtype:
                raise DTypeError(
                    f"{op}: array {n} is {array.dtype} and array 0 is {arrays[0].dtype}: convert one of them"
                )

    def _counts(self, op: str, lengths: Ints1d) -> list[int]:
        self._ints(op, lengths=lengths)
        self._rank(op, "lengths", lengths, 1)
        if self.backend.is_traced(lengths):
            raise ArgumentError(f"{op}: lengths must be known, and are not while compiling: split outside of it")
        counts: list[int] = self.backend.to_numpy(lengths).tolist()
        if counts and min(counts) < 0:
            raise ShapeError(f"{op}: lengths must all be 0 or more, got {min(counts)}")
        return counts

    def _fit(self, op: str, counts: list[int], count: int, longest: int) -> None:
        if len(counts) != count:
            raise ShapeError(f"{op}: lengths must be {count}, one for each sequence, got {len(counts)}")
        if counts and (min(counts) < 0 or max(counts) > longest):
            wrong = min(counts) if min(counts) < 0 else max(counts)
            raise ShapeError(f"{op}: lengths must be from 0 to {longest}, got {wrong}")

    def _joined(self, arrays: list[Array]) -> Array:
        joined: Array = self.xp.concatenate(arrays)
        return joined

    def _zeros(self, rows: int, like: Array) -> Array:
        zeros: Array = self.backend.alloc((rows, *like.shape[1:]), like.dtype, zeros=True)
        return zeros

    def _nothing(self, ndim: int) -> Array:
        nothing: Array = self.backend.alloc((0,) * ndim, "float32", zeros=True)
        return nothing
