"""What XLA does better than the agnostic formula, by op name. Each is jitted by the backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["KERNELS"]


def gemm(X: Any, Y: Any, *, trans1: bool, trans2: bool) -> Any:
    # XLA's default on a GPU rounds float32 factors to tf32: float32 is to mean float32 on every backend.
    return jnp.matmul(X.T if trans1 else X, Y.T if trans2 else Y, precision=jax.lax.Precision.HIGHEST)


def batched_gemm(X: Any, Y: Any, *, trans1: bool, trans2: bool) -> Any:
    left, right = (jnp.swapaxes(X, 1, 2) if trans1 else X), (jnp.swapaxes(Y, 1, 2) if trans2 else Y)
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def affine(X: Any, W: Any, b: Any) -> Any:
    return jnp.matmul(X, W.T, precision=jax.lax.Precision.HIGHEST) + b


def erf(X: Any) -> Any:
    return jax.scipy.special.erf(X)


def gather(table: Any, indices: Any) -> Any:
    return jnp.take(table, indices, axis=0, mode="fill", fill_value=jnp.nan)


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    return table.at[indices].add(values)


def gather_add(table: Any, indices: Any) -> Any:
    if table.shape[0] == 0:
        return jnp.zeros((indices.shape[0], table.shape[1]), table.dtype)  # jnp.take refuses an empty table
    return jnp.sum(gather(table, indices), axis=1)


def backprop_gather_add(dY: Any, indices: Any, *, nV: int) -> Any:
    return jnp.zeros((nV, dY.shape[1]), dY.dtype).at[indices].add(dY[:, None, :])


def embedding_bag(table: Any, indices: Any, lengths: Any, *, mean: bool) -> Any:
    wide = jnp.float32 if table.dtype.itemsize < 4 else table.dtype
    rows = jnp.zeros((indices.shape[0], table.shape[1]), wide)
    if table.shape[0]:
        for k in range(indices.shape[1]):
            rows += gather(table, indices[:, k])
    sums = _segment_sums(rows, lengths)
    if mean:
        sums /= jnp.maximum(lengths, 1).astype(wide)[:, None]
    return sums.astype(table.dtype)


def backprop_embedding_bag(dY: Any, indices: Any, lengths: Any, *, nV: int, mean: bool) -> Any:
    wide = dY.astype(jnp.float32) if dY.dtype.itemsize < 4 else dY
    if mean:
        wide /= jnp.maximum(lengths, 1).astype(wide.dtype)[:, None]
    # Rows after the last bag belong to none.
    _, segments = _segments(lengths, indices.shape[0])
    d_rows = jnp.take(wide, segments, axis=0, mode="fill", fill_value=0) if wide.size else wide[segments]
    # Fused into the scatter, each row would be looked up again for each of its entries.
    d_rows = jax.lax.optimization_barrier(d_rows)
    return backprop_gather_add(d_rows, indices, nV=nV).astype(dY.dtype)


def _segments(lengths: Any, rows: int) -> tuple[Any, Any]:
    """The row after each sequence's last, and the number of the sequence that each row belongs to."""
    ends = jnp.cumsum(lengths.astype(jnp.int32), dtype=jnp.int32)
    return ends, jnp.searchsorted(ends, jnp.arange(rows, dtype=jnp.int32), side="right")


def _segment_sums(X: Any, lengths: Any) -> Any:
    ends, segments = _segments(lengths, X.shape[0])
    sums = jax.ops.segment_sum(X, segments, num_segments=lengths.shape[0], indices_are_sorted=True)
    return jnp.where((ends <= X.shape[0])[:, None], sums, jnp.nan).astype(X.dtype)


KERNELS: Mapping[str, Callable[..., Any]] = {
    "gemm": gemm,
    "batched_gemm": batched_gemm,
    "affine": affine,
    "erf": erf,
    "gather": gather,
    "scatter_add": scatter_add,
    "gather_add": gather_add,
    "backprop_gather_add": backprop_gather_add,
    "embedding_bag": embedding_bag,
    "backprop_embedding_bag": backprop_embedding_bag,
}
