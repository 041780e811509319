"""What NumPy does better than the agnostic formula, by op name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["KERNELS"]


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    # Sorting the rows by index lets one `reduceat` add each group; `np.add.at` adds element by element.
    result = np.array(table)
    if len(indices) == 0:
        return result
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    result[ordered[starts]] += np.add.reduceat(values[order], starts, axis=0)
    return result


def backprop_gather_add(dY: Any, indices: Any, *, nV: int) -> Any:
    return scatter_add(
        np.zeros((nV, dY.shape[1]), dY.dtype), indices.reshape(-1), np.repeat(dY, indices.shape[1], axis=0)
    )


def embedding_bag(table: Any, indices: Any, lengths: Any, *, mean: bool) -> Any:
    wide = np.float32 if table.itemsize < 4 else table.dtype
    rows = np.zeros((len(indices), table.shape[1]), wide)
    for column in indices.T:
        rows += table[column]
    sums = reduce_sum(rows, lengths)
    if mean:
        sums /= np.maximum(lengths, 1).astype(wide)[:, None]
    return sums.astype(table.dtype, copy=False)


def backprop_embedding_bag(dY: Any, indices: Any, lengths: Any, *, nV: int, mean: bool) -> Any:
    wide = dY.astype(np.float32) if dY.itemsize < 4 else dY
    backprop = backprop_reduce_mean if mean else backprop_reduce_sum
    d_rows = backprop(wide, lengths, rows=len(indices))
    return backprop_gather_add(d_rows, indices, nV=nV).astype(dY.dtype, copy=False)


def reduce_sum(X: Any, lengths: Any) -> Any:
    # `reduceat` gives a row of the next sequence for an empty one.
    counts = lengths.astype(np.int64)
    filled = counts > 0
    wide = X.astype(np.float32) if X.itemsize < 4 else X
    sums = np.zeros((len(counts), X.shape[1]), wide.dtype)
    if filled.any():
        sums[filled] = np.add.reduceat(wide, (np.cumsum(counts) - counts)[filled], axis=0)
    return sums.astype(X.dtype, copy=False)


def backprop_reduce_sum(d_sums: Any, lengths: Any, *, rows: int) -> Any:
    return np.repeat(d_sums, lengths.astype(np.int64), axis=0)


def backprop_reduce_mean(d_means: Any, lengths: Any, *, rows: int) -> Any:
    counts = lengths.astype(np.int64)
    wide = d_means.astype(np.float32) if d_means.itemsize < 4 else d_means
    shares = wide / np.maximum(counts, 1).astype(wide.dtype)[:, None]
    return np.repeat(shares.astype(d_means.dtype, copy=False), counts, axis=0)


def backprop_reduce_first(d_firsts: Any, starts_ends: Any, *, rows: int) -> Any:
    return _placed(d_firsts, starts_ends[:-1], rows)


def backprop_reduce_last(d_lasts: Any, lasts: Any, *, rows: int) -> Any:
    return _placed(d_lasts, lasts, rows)


def _placed(d_rows: Any, places: Any, rows: int) -> Any:
    dX = np.zeros((rows, d_rows.shape[1]), d_rows.dtype)
    dX[places.astype(np.int64)] = d_rows
    return dX


KERNELS: Mapping[str, Callable[..., Any]] = {
    "scatter_add": scatter_add,
    "backprop_gather_add": backprop_gather_add,
    "embedding_bag": embedding_bag,
    "backprop_embedding_bag": backprop_embedding_bag,
    "reduce_sum": reduce_sum,
    "backprop_reduce_sum": backprop_reduce_sum,
    "backprop_reduce_mean": backprop_reduce_mean,
    "backprop_reduce_first": backprop_reduce_first,
    "backprop_reduce_last": backprop_reduce_last,
}
