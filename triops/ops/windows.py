"""The rows around each row, side by side."""

from __future__ import annotations

from triops.errors import ArgumentError, ShapeError
from triops.ops.lengths import LengthOps
from triops.types import Floats2d, Ints1d

__all__ = ["WindowOps"]


class WindowOps(LengthOps):
    """seq2col and its gradient."""

    def seq2col(self, X: Floats2d, nW: int, lengths: Ints1d | None = None) -> Floats2d:
        """Y[t] = X[t-nW], ..., X[t], ..., X[t+nW] side by side; 0 for rows that are not of t's sequence.

        X: (T, W). nW: rows on each side, 0 or more. lengths: (N,) integers of 0 or more that add up to T, or
        None where X is one sequence. Returns Y: (T, (2 nW + 1) W). Raises ShapeError for lengths that are
        negative or do not add up, where they lie on the host. Collobert et al. 2011, Natural Language
        Processing (Almost) from Scratch.
        """
        self._window("seq2col", "X", X, nW, lengths)
        Y: Floats2d = self._kernels["seq2col"](X, lengths, nW=nW)
        return Y

    def backprop_seq2col(self, dY: Floats2d, nW: int, lengths: Ints1d | None = None) -> Floats2d:
        """dX[t] = Σₖ dY[t-k], its columns for the neighbour at k, over the k from -nW to nW in t's sequence.

        dY: (T, (2 nW + 1) W). nW, lengths: as given to `seq2col`. Returns dX: (T, W). Half precision adds up
        in float32.
        """
        self._window("backprop_seq2col", "dY", dY, nW, lengths)
        if dY.shape[1] % (2 * nW + 1):
            raise ShapeError(
                f"backprop_seq2col: dY must have a multiple of {2 * nW + 1} columns (2 nW + 1), got shape "
                f"{tuple(dY.shape)}"
            )
        dX: Floats2d = self._kernels["backprop_seq2col"](dY, lengths, nW=nW)
        return dX

    def _window(self, op: str, argument: str, rows: Floats2d, nW: int, lengths: Ints1d | None) -> None:
        self._floats(op, argument, rows)
        if rows.ndim != 2:
            self._rank(op, argument, rows, 2)
        if nW < 0:
            raise ArgumentError(f"{op}: nW must be 0 or more, got {nW}")
        if lengths is not None:
            self._lengths(op, lengths, rows.shape[0])
