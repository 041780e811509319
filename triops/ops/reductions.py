"""One row a sequence, out of sequences that lie one after another."""

from __future__ import annotations

from triops.errors import ShapeError
from triops.ops.lengths import LengthOps
from triops.types import Floats2d, Ints1d, Ints2d

__all__ = ["ReductionOps"]


class ReductionOps(LengthOps):
    """reduce_sum, reduce_mean, reduce_max, reduce_first, reduce_last and their gradients.

    X: (T, W), the rows of N sequences one after another; sequence n has lengths[n] of them, from row start_n.
    lengths: (N,) integers that add up to T. rows: T; where it is None it is read from the integers given, which
    on an accelerator waits for the device, and cannot be while compiling. Raises ShapeError for lengths that are
    negative or do not add up, where they lie on the host; elsewhere a sequence that reaches past the rows gives
    NaN, and rows past the last sequence are left out. Half precision adds up in float32.
    """

    def reduce_sum(self, X: Floats2d, lengths: Ints1d) -> Floats2d:
        """Y[n] = Σₜ X[start_n + t], 0 for an empty sequence.

        X: (T, W). lengths: (N,), adding up to T. Returns Y: (N, W).
        """
        self._sequences("reduce_sum", X, lengths)
        Y: Floats2d = self._kernels["reduce_sum"](X, lengths)
        return Y

    def backprop_reduce_sum(self, d_sums: Floats2d, lengths: Ints1d, rows: int | None = None) -> Floats2d:
        """dX[start_n + t] = d_sums[n].

        d_sums: (N, W). lengths: (N,). rows: T, or None to add the lengths up. Returns dX: (T, W).
        """
        rows = self._gradient("backprop_reduce_sum", "d_sums", d_sums, lengths, rows)
        dX: Floats2d = self._kernels["backprop_reduce_sum"](d_sums, lengths, rows=rows)
        return dX

    def reduce_mean(self, X: Floats2d, lengths: Ints1d) -> Floats2d:
        """Y[n] = Σₜ X[start_n + t] / lengths[n], 0 for an empty sequence.

        X: (T, W). lengths: (N,), adding up to T. Returns Y: (N, W).
        """
        self._sequences("reduce_mean", X, lengths)
        Y: Floats2d = self._kernels["reduce_mean"](X, lengths)
        return Y

    def backprop_reduce_mean(self, d_means: Floats2d, lengths: Ints1d, rows: int | None = None) -> Floats2d:
        """dX[start_n + t] = d_means[n] / lengths[n].

        d_means: (N, W). lengths: (N,). rows: T, or None to add the lengths up. Returns dX: (T, W).
        """
        rows = self._gradient("backprop_reduce_mean", "d_means", d_means, lengths, rows)
        dX: Floats2d = self._kernels["backprop_reduce_mean"](d_means, lengths, rows=rows)
        return dX

    def reduce_max(self, X: Floats2d, lengths: Ints1d) -> tuple[Floats2d, Ints2d]:
        """Y[n, j] = maxₜ X[start_n + t, j], and which t it was; the first of equals.

        X: (T, W). lengths: (N,), all 1 or more, adding up to T. Returns Y: (N, W), and which: (N, W) int32, to
        give to `backprop_reduce_max`. A NaN wins. An empty sequence has no maximum: it raises ShapeError where
        lengths lie on the host, and gives NaN elsewhere.
        """
        self._sequences("reduce_max", X, lengths, least=1)
        Y, which = self._kernels["reduce_max"](X, lengths)
        return Y, which

    def backprop_reduce_max(
        self, d_maxes: Floats2d, which: Ints2d, lengths: Ints1d, rows: int | None = None
    ) -> Floats2d:
        """dX[start_n + t, j] = d_maxes[n, j] where t is which[n, j], else 0.

        d_maxes: (N, W). which: (N, W), from `reduce_max`. lengths: (N,), all 1 or more. rows: T, or None to add
        the lengths up. Returns dX: (T, W).
        """
        op = "backprop_reduce_max"
        self._floats(op, "d_maxes", d_maxes)
        self._ints(op, "which", which)
        self._shape(op, "which", which, d_maxes.shape, "as d_maxes")
        rows = self._gradient(op, "d_maxes", d_maxes, lengths, rows, least=1)
        dX: Floats2d = self._kernels[op](d_maxes, which, lengths, rows=rows)
        return dX

    def reduce_first(self, X: Floats2d, lengths: Ints1d) -> tuple[Floats2d, Ints1d]:
        """Y[n] = X[start_n], and where the sequences start and end.

        X: (T, W). lengths: (N,), all 1 or more, adding up to T. Returns Y: (N, W), and starts_ends: (N+1,)
        int32, each start and T, to give to `backprop_reduce_first`. An empty sequence has no first row: it
        raises ShapeError where lengths lie on the host, and gives NaN elsewhere.
        """
        self._sequences("reduce_first", X, lengths, least=1)
        Y, starts_ends = self._kernels["reduce_first"](X, lengths)
        return Y, starts_ends

    def backprop_reduce_first(self, d_firsts: Floats2d, starts_ends: Ints1d, rows: int | None = None) -> Floats2d:
        """dX[starts_ends[n]] = d_firsts[n], and 0 in all other rows.

        d_firsts: (N, W). starts_ends: (N+1,), from `reduce_first`. rows: T, or None to take the last of
        starts_ends. Returns dX: (T, W).
        """
        op = "backprop_reduce_first"
        self._floats(op, "d_firsts", d_firsts)
        self._rank(op, "d_firsts", d_firsts, 2)
        self._ints(op, "starts_ends", starts_ends)
        self._shape(op, "starts_ends", starts_ends, (d_firsts.shape[0] + 1,), "a row of d_firsts each, and T")
        rows = self._rows_at(op, "starts_ends", starts_ends, rows, after=0)
        dX: Floats2d = self._kernels[op](d_firsts, starts_ends, rows=rows)
        return dX

    def reduce_last(self, X: Floats2d, lengths: Ints1d) -> tuple[Floats2d, Ints1d]:
        """Y[n] = X[start_n + lengths[n] - 1], and which rows these are.

        X: (T, W). lengths: (N,), all 1 or more, adding up to T. Returns Y: (N, W), and lasts: (N,) int32, to
        give to `backprop_reduce_last`. An empty sequence has no last row: it raises ShapeError where lengths
        lie on the host, and gives NaN elsewhere.
        """
        self._sequences("reduce_last", X, lengths, least=1)
        Y, lasts = self._kernels["reduce_last"](X, lengths)
        return Y, lasts

    def backprop_reduce_last(self, d_lasts: Floats2d, lasts: Ints1d, rows: int | None = None) -> Floats2d:
        """dX[lasts[n]] = d_lasts[n], and 0 in all other rows.

        d_lasts: (N, W). lasts: (N,), from `reduce_last`. rows: T, or None to end with the last of lasts.
        Returns dX: (T, W).
        """
        op = "backprop_reduce_last"
        self._floats(op, "d_lasts", d_lasts)
        self._rank(op, "d_lasts", d_lasts, 2)
        self._ints(op, "lasts", lasts)
        self._shape(op, "lasts", lasts, (d_lasts.shape[0],), "a row of d_lasts each")
        rows = self._rows_at(op, "lasts", lasts, rows, after=1)
        dX: Floats2d = self._kernels[op](d_lasts, lasts, rows=rows)
        return dX

    def _sequences(self, op: str, X: Floats2d, lengths: Ints1d, *, least: int = 0) -> None:
        self._floats(op, "X", X)
        if X.ndim != 2:
            self._rank(op, "X", X, 2)
        self._lengths(op, lengths, X.shape[0], least=least)

    def _gradient(
        self, op: str, argument: str, d_reduced: Floats2d, lengths: Ints1d, rows: int | None, *, least: int = 0
    ) -> int:
        self._floats(op, argument, d_reduced)
        if d_reduced.ndim != 2:
            self._rank(op, argument, d_reduced, 2)
        rows = self._rows_of(op, lengths, rows, least=least)
        if d_reduced.shape[0] != lengths.shape[0]:
            raise ShapeError(
                f"{op}: {argument} must have one row for each of the {lengths.shape[0]} lengths, got shape "
                f"{tuple(d_reduced.shape)}"
            )
        return rows
