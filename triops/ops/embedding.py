"""Rows of a table by their number."""

from __future__ import annotations

from triops.errors import ShapeError
from triops.ops.base import OpsBase
from triops.types import FloatsXd, Ints1d, IntsXd

__all__ = ["EmbeddingOps"]


class EmbeddingOps(OpsBase):
    """gather and scatter_add."""

    def gather(self, table: FloatsXd, indices: IntsXd) -> FloatsXd:
        """Y[i] = table[indices[i]].

        table: (nV, ...). indices: any shape of integers from 0 to nV-1. Returns Y: indices' shape, then
        table's without its first dimension. Raises ShapeError for an index out of range where the indices
        lie on the host; on an accelerator checking would wait for the device.
        """
        self._floats("gather", table=table)
        self._ints("gather", indices=indices)
        self._in_range("gather", indices, table)
        Y: FloatsXd = self._kernels["gather"](table, indices)
        return Y

    def scatter_add(self, table: FloatsXd, indices: Ints1d, values: FloatsXd) -> FloatsXd:
        """A new table with values[i] added to row indices[i]; rows that come twice add up. It is the
        gradient of `gather`, with a table of zeros.

        table: (nV, ...). indices: (N,), from 0 to nV-1. values: (N, ...). Returns: as table. Raises
        ShapeError for an index out of range, as `gather` does.
        """
        self._floats("scatter_add", table=table, values=values)
        self._ints("scatter_add", indices=indices)
        self._rank("scatter_add", "indices", indices, 1)
        expected = (indices.shape[0], *table.shape[1:])
        self._shape("scatter_add", "values", values, expected, "a row of table for each index")
        self._in_range("scatter_add", indices, table)
        result: FloatsXd = self._kernels["scatter_add"](table, indices, values)
        return result

    def _in_range(self, op: str, indices: IntsXd, table: FloatsXd) -> None:
        if table.ndim < 1:
            raise ShapeError(f"{op}: table must have rows, got shape {tuple(table.shape)}")
        if indices.size == 0 or not self.can_look(indices):
            return
        # On the host, since JAX reduces no 64-bit integers unless all its defaults are 64-bit.
        values = self.backend.to_numpy(indices)
        lowest, highest = int(values.min()), int(values.max())
        if lowest < 0 or highest >= table.shape[0]:
            wrong = lowest if lowest < 0 else highest
            raise ShapeError(
                f"{op}: indices must be from 0 to {table.shape[0] - 1}, the rows of table, got {wrong}: "
                f"make the table larger, or map unknown ids to one of its rows"
            )
