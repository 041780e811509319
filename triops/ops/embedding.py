"""Rows of a table by their number, and codes for positions."""

from __future__ import annotations

from operator import index

from triops.errors import ArgumentError, ShapeError
from triops.ops.base import OpsBase
from triops.types import DType, Floats2d, FloatsXd, Ints1d, Ints2d, IntsXd

__all__ = ["EmbeddingOps"]


class EmbeddingOps(OpsBase):
    """gather, scatter_add, sums of gathered rows, and position_encode."""

    def gather(self, table: FloatsXd, indices: IntsXd) -> FloatsXd:
        """Y[i] = table[indices[i]].

        table: (nV, ...). indices: any shape of integers from 0 to nV-1. Returns Y: indices' shape, then
        table's without its first dimension. Raises ShapeError for an index out of range where the indices
        lie on the host; on an accelerator checking would wait for the device.
        """
        self._floats("gather", "table", table)
        self._ints("gather", "indices", indices)
        if not table.ndim:
            self._has_rows("gather", table)
        self._in_range("gather", indices, table.shape[0])
        Y: FloatsXd = self._kernels["gather"](table, indices)
        return Y

    def scatter_add(self, table: FloatsXd, indices: Ints1d, values: FloatsXd) -> FloatsXd:
        """A new table with values[i] added to row indices[i]; rows that come twice add up. It is the
        gradient of `gather`, with a table of zeros.

        table: (nV, ...). indices: (N,), from 0 to nV-1. values: (N, ...). Returns: as table. Raises
        ShapeError for an index out of range, as `gather` does.
        """
        self._floats("scatter_add", "table values", table, values)
        self._ints("scatter_add", "indices", indices)
        if not table.ndim:
            self._has_rows("scatter_add", table)
        if indices.ndim != 1 or values.shape != indices.shape + table.shape[1:]:
            self._rank("scatter_add", "indices", indices, 1)
            expected = (indices.shape[0], *table.shape[1:])
            self._shape("scatter_add", "values", values, expected, "a row of table for each index")
        self._in_range("scatter_add", indices, table.shape[0])
        result: FloatsXd = self._kernels["scatter_add"](table, indices, values)
        return result

    def gather_add(self, table: Floats2d, indices: Ints2d) -> Floats2d:
        """Y[i] = Σ_k table[indices[i, k]].

        table: (nV, W). indices: (N, K), from 0 to nV-1. Returns Y: (N, W). Raises ShapeError for an index out
        of range, as `gather` does.
        """
        self._floats("gather_add", "table", table)
        self._ints("gather_add", "indices", indices)
        if not table.ndim == indices.ndim == 2:
            self._rank("gather_add", "table", table, 2)
            self._rank("gather_add", "indices", indices, 2)
        self._in_range("gather_add", indices, table.shape[0])
        Y: Floats2d = self._kernels["gather_add"](table, indices)
        return Y

    def backprop_gather_add(self, dY: Floats2d, indices: Ints2d, nV: int) -> Floats2d:
        """The gradient of `gather_add` by its table: dE[v] = Σ dY[i], over each i and k with indices[i, k] = v.

        dY: (N, W). indices: (N, K), from 0 to nV-1. nV: how many rows the table has. Returns dE: (nV, W).
        Raises ShapeError for an index out of range, as `gather` does.
        """
        self._floats("backprop_gather_add", "dY", dY)
        self._ints("backprop_gather_add", "indices", indices)
        if not dY.ndim == indices.ndim == 2 or indices.shape[0] != dY.shape[0]:
            self._rank("backprop_gather_add", "dY", dY, 2)
            self._rank("backprop_gather_add", "indices", indices, 2)
            expected = (dY.shape[0], indices.shape[1])
            self._shape(
                "backprop_gather_add", "indices", indices, expected, "a row of indices for each row of dY"
            )
        if not hasattr(nV, "__index__") or index(nV) < 0:
            raise ArgumentError(f"backprop_gather_add: nV must be an integer from 0, got {nV!r}")
        self._in_range("backprop_gather_add", indices, index(nV))
        dE: Floats2d = self._kernels["backprop_gather_add"](dY, indices, nV=index(nV))
        return dE

    def position_encode(self, N: int, D: int, period: float = 10000, dtype: DType = "float32") -> Floats2d:
        """Y[i, j] = sin(i / w) for even j and cos(i / w) for odd j, with w = period^(2d/D) and d the even one of
        the two columns of a pair; the last column of an odd D takes its d from the pair before it.

        N, D: from 0. period: above 0. Returns Y: (N, D), computed on the host and rounded to `dtype`, alike
        on every backend. As in Thinc, whose wavelengths are the squares of those of Vaswani et al. 2017,
        Attention Is All You Need.
        """
        for argument, size in (("N", N), ("D", D)):
            if not hasattr(size, "__index__") or index(size) < 0:
                raise ArgumentError(f"position_encode: {argument} must be an integer from 0, got {size!r}")
        if not 0 < period < float("inf"):
            raise ArgumentError(f"position_encode: period must be above 0 and finite, got {period}")
        Y: Floats2d = self.backend.asarray(self.backend.host.position_encode(index(N), index(D), period), dtype)
        return Y

    def _has_rows(self, op: str, table: FloatsXd) -> None:
        if table.ndim < 1:
            raise ShapeError(f"{op}: table must have rows, got shape {tuple(table.shape)}")

    def _in_range(self, op: str, indices: IntsXd, nV: int) -> None:
        if indices.size == 0 or not (type(indices) in self._owned_types or self.can_look(indices)):
            return
        lowest, highest, _ = self._extremes(indices)
        if lowest < 0 or highest >= nV:
            wrong = lowest if lowest < 0 else highest
            raise ShapeError(
                f"{op}: indices must be from 0 to {nV - 1}, the rows of table, got {wrong}: "
                f"make the table larger, or map unknown ids to one of its rows"
            )
