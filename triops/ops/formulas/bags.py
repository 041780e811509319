"""Bags of rows of a table."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.embedding import backprop_gather_add, gather
from triops.ops.formulas.reductions import backprop_reduce_mean, backprop_reduce_sum, reduce_mean, reduce_sum
from triops.ops.formulas.registry import formula
from triops.ops.formulas.segments import sum_type


@formula
def embedding_bag(xp: Any, table: Any, indices: Any, lengths: Any, *, mean: bool) -> Any:
    if table.shape[0] == 0:
        rows = xp.zeros((indices.shape[0], table.shape[1]), dtype=table.dtype)
    else:
        rows = xp.sum(gather(xp, table, indices).astype(sum_type(table.dtype)), axis=1)
    return (reduce_mean if mean else reduce_sum)(xp, rows, lengths).astype(table.dtype)


@formula
def backprop_embedding_bag(xp: Any, dY: Any, indices: Any, lengths: Any, *, nV: int, mean: bool) -> Any:
    wide = dY.astype(sum_type(dY.dtype))
    d_rows = (backprop_reduce_mean if mean else backprop_reduce_sum)(xp, wide, lengths, rows=indices.shape[0])
    return backprop_gather_add(xp, d_rows, indices, nV=nV).astype(dY.dtype)
