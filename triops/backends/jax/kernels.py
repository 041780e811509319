"""What XLA does better than the agnostic formula, by op name. Each is jitted by the backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from triops.backends.jax.attention import attention, backprop_attention

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


def softmax_sequences(Xs: Any, lengths: Any) -> Any:
    segments, count = _segments(lengths, Xs.shape[0])
    wide = Xs.astype(jnp.promote_types(Xs.dtype, jnp.float32))
    tops = jax.ops.segment_max(wide, segments, count, indices_are_sorted=True)
    exps = jnp.exp(wide - tops[segments])
    totals = jax.ops.segment_sum(exps, segments, count, indices_are_sorted=True)[segments]
    return _of_known(exps / totals, segments, lengths).astype(Xs.dtype)


def backprop_softmax_sequences(dY: Any, Y: Any, lengths: Any) -> Any:
    segments, count = _segments(lengths, dY.shape[0])
    wide = jnp.promote_types(dY.dtype, jnp.float32)
    dY, shares = dY.astype(wide), Y.astype(wide)
    totals = jax.ops.segment_sum(shares * dY, segments, count, indices_are_sorted=True)[segments]
    return _of_known(shares * (dY - totals), segments, lengths).astype(Y.dtype)


def _segments(lengths: Any, rows: int) -> tuple[Any, int]:
    """The sequence of each row, and how many there are with the one of the rows that belong to none."""
    ends = jnp.cumsum(lengths.astype("int32"))
    return jnp.searchsorted(ends, jnp.arange(rows, dtype="int32"), side="right"), lengths.shape[0] + 1


def _of_known(rows: Any, segments: Any, lengths: Any) -> Any:
    """0 for rows of no sequence, and NaN throughout a sequence that reaches past the rows."""
    if lengths.shape[0] == 0:
        return jnp.zeros_like(rows)
    whole = (jnp.cumsum(lengths.astype("int32")) <= rows.shape[0])[jnp.minimum(segments, lengths.shape[0] - 1)]
    known = (segments < lengths.shape[0])[:, None]
    return jnp.where(known, jnp.where(whole[:, None], rows, jnp.nan), 0)


KERNELS: Mapping[str, Callable[..., Any]] = {
    "gemm": gemm,
    "batched_gemm": batched_gemm,
    "affine": affine,
    "erf": erf,
    "gather": gather,
    "scatter_add": scatter_add,
    "gather_add": gather_add,
    "backprop_gather_add": backprop_gather_add,
    "attention": attention,
    "backprop_attention": backprop_attention,
    "softmax_sequences": softmax_sequences,
    "backprop_softmax_sequences": backprop_softmax_sequences,
}
