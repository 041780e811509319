"""Rows of a table by their number."""

from __future__ import annotations

import math
from typing import Any

from triops.ops.formulas.registry import formula


@formula
def gather(xp: Any, table: Any, indices: Any) -> Any:
    # NumPy before 2.1 takes no uint64 as an index.
    return xp.take(table, xp.asarray(indices, dtype="int64"), axis=0)


@formula
def scatter_add(xp: Any, table: Any, indices: Any, values: Any) -> Any:
    # Every value against every row of the table: right everywhere, and too large for a real vocabulary.
    hits = indices[None, :] == xp.arange(table.shape[0], dtype=indices.dtype)[:, None]
    flat = xp.reshape(values, (values.shape[0], math.prod(table.shape[1:])))
    return table + xp.reshape(xp.sum(xp.where(hits[:, :, None], flat, 0), axis=1), table.shape)


@formula
def gather_add(xp: Any, table: Any, indices: Any) -> Any:
    return xp.sum(gather(xp, table, indices), axis=1)


@formula
def backprop_gather_add(xp: Any, dY: Any, indices: Any, *, nV: int) -> Any:
    zeros = xp.zeros((nV, dY.shape[1]), dtype=dY.dtype)
    return scatter_add(xp, zeros, xp.reshape(indices, (-1,)), xp.repeat(dY, indices.shape[1], axis=0))
