"""Bags of rows of a table."""

from __future__ import annotations

from operator import index

from triops.errors import ArgumentError, ShapeError
from triops.ops.embedding import EmbeddingOps
from triops.ops.lengths import LengthOps
from triops.types import Floats2d, Ints1d, Ints2d

__all__ = ["BagOps"]


class BagOps(EmbeddingOps, LengthOps):
    """embedding_bag and its gradient: rows of a table are looked up and summed at once, and never held."""

    def embedding_bag(self, table: Floats2d, indices: Ints2d, lengths: Ints1d, *, mean: bool = False) -> Floats2d:
        """Y[n] = Σ_t Σ_k table[indices[start_n + t, k]], over the lengths[n] entries of bag n, whose rows
        of indices start at start_n; with `mean`, divided by lengths[n]. An empty bag is 0.

        table: (nV, W). indices: (T, K), from 0 to nV-1. lengths: (N,) integers of 0 or more that add up to T.
        Returns Y: (N, W). Raises ShapeError for an index out of range or lengths that do not add up, where they
        lie on the host; elsewhere a bag that reaches past the rows gives NaN. Half precision adds up in
        float32. Joulin et al. 2016, Bag of Tricks for Efficient Text Classification.
        """
        op = "embedding_bag"
        self._floats(op, "table", table)
        if table.ndim != 2:
            self._rank(op, "table", table, 2)
        self._bags(op, indices, lengths, table.shape[0])
        Y: Floats2d = self._kernels[op](table, indices, lengths, mean=bool(mean))
        return Y

    def backprop_embedding_bag(
        self, dY: Floats2d, indices: Ints2d, lengths: Ints1d, nV: int, *, mean: bool = False
    ) -> Floats2d:
        """The gradient of `embedding_bag` by its table: dE[v] = Σ dY[n] (over lengths[n], with `mean`), over each
        bag n, t and k with indices[start_n + t, k] = v.

        dY: (N, W). indices: (T, K). lengths: (N,). nV: how many rows the table has. Returns dE: (nV, W). Raises
        as `embedding_bag` does.
        """
        op = "backprop_embedding_bag"
        self._floats(op, "dY", dY)
        if dY.ndim != 2:
            self._rank(op, "dY", dY, 2)
        if not hasattr(nV, "__index__") or index(nV) < 0:
            raise ArgumentError(f"{op}: nV must be an integer from 0, got {nV!r}")
        self._bags(op, indices, lengths, index(nV))
        if dY.shape[0] != lengths.shape[0]:
            raise ShapeError(
                f"{op}: dY must have one row for each of the {lengths.shape[0]} lengths, got shape "
                f"{tuple(dY.shape)}"
            )
        dE: Floats2d = self._kernels[op](dY, indices, lengths, nV=index(nV), mean=bool(mean))
        return dE

    def _bags(self, op: str, indices: Ints2d, lengths: Ints1d, nV: int) -> None:
        self._ints(op, "indices", indices)
        if indices.ndim != 2:
            self._rank(op, "indices", indices, 2)
        self._lengths(op, lengths, indices.shape[0])
        self._in_range(op, indices, nV)
