"""Where a row stands in its sequence."""

from __future__ import annotations

from triops.errors import ArgumentError
from triops.models.layers.over_sequences import OverSequences
from triops.types import Backprop, Floats2d, Ints1d

__all__ = ["PositionEncode"]


class PositionEncode(OverSequences):
    """Y[t, j] = X[t, j] + sin(t / w) for even j, and + cos(t / w) for odd j, with w = period^(d/nI), d the even
    one of the two columns of a pair and t counted from the start of each sequence. Vaswani et al. 2017, Attention
    Is All You Need.

    X: a list of arrays (Tₙ, nI), Ragged, Padded, or an array, which is one sequence. Y: as X. No parameters.
    """

    def __init__(self, *, period: float = 10000.0) -> None:
        if not 0 < period < float("inf"):
            raise ArgumentError(f"PositionEncode: period must be above 0 and finite, got {period!r}")
        super().__init__(attrs={"period": float(period)})

    def begin_rows(self, X: Floats2d, lengths: Ints1d, drop: float | None) -> tuple[Floats2d, Backprop]:
        ops, rows = self.ops, X.shape[0]
        if rows == 0:
            return X, lambda dY: dY
        xp, counts = ops.xp, ops.asarray(lengths, "int32")
        starts = (xp.cumsum(counts, dtype="int32") - counts).astype("float64").reshape((len(counts), 1))
        starts = ops.backprop_reduce_sum(starts, lengths, rows)[:, 0].astype("int32")
        # What JAX compiles may not look at lengths: no row is further down than there are rows.
        longest = int(ops.to_numpy(lengths).max()) if ops.can_look(lengths) else rows
        # The op's wavelengths are the squares of those of Vaswani et al.
        waves = ops.position_encode(longest, X.shape[1], self.attrs["period"] ** 0.5, dtype=X.dtype.name)
        return X + ops.gather(waves, xp.arange(rows, dtype="int32") - starts), lambda dY: dY
