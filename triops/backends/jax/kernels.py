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


def gather(table: Any, indices: Any) -> Any:
    return jnp.take(table, indices, axis=0, mode="fill", fill_value=jnp.nan)


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    return table.at[indices].add(values)


def gather_add(table: Any, indices: Any) -> Any:
    if table.shape[0] == 0:
        return jnp.zeros((indices.shape[0], table.shape[1]), table.dtype)  # jnp.take refuses an empty table
    return jnp.sum(gather(table, indices), axis=1)


def backprop_gather_add(dY: Any, indices: Any, *, nV: int) -> Any:
    dE = jnp.zeros((nV, dY.shape[1]), dY.dtype)
    for k in range(indices.shape[1]):
        # A column at a time: all at once XLA computes each row of dY again for every entry it adds.
        dE = dE.at[indices[:, k]].add(dY)
    return dE


def backprop_maxout(dY: Any, which: Any, *, P: int) -> Any:
    # Piece by piece: as one selection XLA would compute dY and which anew for each entry of each piece.
    return jnp.stack([jnp.where(which == p, dY, 0) for p in range(P)], axis=-1)


def backprop_affine_maxout(dY: Any, X: Any, W: Any, which: Any, *, wants_dX: bool) -> tuple[Any, Any, Any]:
    nO, nP, nI = W.shape
    dZ = backprop_maxout(dY, which, P=nP).reshape((dY.shape[0], nO * nP))
    return (
        gemm(dZ, W.reshape((nO * nP, nI)), trans1=False, trans2=False) if wants_dX else None,
        gemm(dZ, X, trans1=True, trans2=False).reshape(W.shape),
        # The sum of the rows of dZ, and not of the pieces, which XLA would lay out a second time.
        jnp.sum(dZ, axis=0).reshape((nO, nP)),
    )


def embedding_bag(table: Any, indices: Any, lengths: Any, *, mean: bool) -> Any:
    rows = jnp.zeros((indices.shape[0], table.shape[1]), _sum_type(table))
    if table.shape[0]:
        for k in range(indices.shape[1]):
            rows += gather(table, indices[:, k])
    return (reduce_mean if mean else reduce_sum)(rows, lengths).astype(table.dtype)


def backprop_embedding_bag(dY: Any, indices: Any, lengths: Any, *, nV: int, mean: bool) -> Any:
    wide = dY.astype(_sum_type(dY))
    if mean:
        wide /= jnp.maximum(lengths, 1).astype(wide.dtype)[:, None]
    if not wide.size:
        return jnp.zeros((nV, dY.shape[1]), dY.dtype)
    # Rows after the last bag belong to none.
    _, segments = _segments(lengths, indices.shape[0])
    d_rows = jnp.take(wide, segments, axis=0, mode="fill", fill_value=0)
    return backprop_gather_add(d_rows, indices, nV=nV).astype(dY.dtype)


def reduce_sum(X: Any, lengths: Any) -> Any:
    ends, segments = _segments(lengths, X.shape[0])
    sums = _by_segment(jax.ops.segment_sum, X.astype(_sum_type(X)), segments, lengths)
    return jnp.where((ends <= X.shape[0])[:, None], sums, jnp.nan).astype(X.dtype)


def reduce_mean(X: Any, lengths: Any) -> Any:
    sums = reduce_sum(X.astype(_sum_type(X)), lengths)
    return (sums / jnp.maximum(lengths, 1).astype(sums.dtype)[:, None]).astype(X.dtype)


def reduce_max(X: Any, lengths: Any) -> tuple[Any, Any]:
    ends, segments = _segments(lengths, X.shape[0])
    best = _by_segment(jax.ops.segment_max, X, segments, lengths)
    if not best.size or not X.size:
        return jnp.full(best.shape, jnp.nan, X.dtype), jnp.zeros(best.shape, jnp.int32)
    mine = jnp.take(best, segments, axis=0, mode="clip")
    rows = jnp.arange(X.shape[0], dtype=jnp.int32)[:, None]
    # The first of equals, and of NaNs.
    hits = jnp.where((mine == X) | ((X != X) & (mine != mine)), rows, X.shape[0])
    first = _by_segment(jax.ops.segment_min, hits, segments, lengths)
    sound = ((lengths > 0) & (ends <= X.shape[0]))[:, None]
    starts = (ends - lengths.astype(jnp.int32))[:, None]
    return jnp.where(sound, best, jnp.nan).astype(X.dtype), jnp.where(sound, first - starts, 0)


def _segments(lengths: Any, rows: int) -> tuple[Any, Any]:
    """The row after each sequence's last, and the number of the sequence that each row belongs to."""
    ends = jnp.cumsum(lengths.astype(jnp.int32), dtype=jnp.int32)
    return ends, jnp.searchsorted(ends, jnp.arange(rows, dtype=jnp.int32), side="right")


def _by_segment(reduce: Callable[..., Any], X: Any, segments: Any, lengths: Any) -> Any:
    return reduce(X, segments, num_segments=lengths.shape[0], indices_are_sorted=True)


def _sum_type(X: Any) -> Any:
    return jnp.float32 if X.dtype.itemsize < 4 else X.dtype


def softmax_sequences(Xs: Any, lengths: Any) -> Any:
    wide = Xs.astype(_sum_type(Xs))
    exps = jnp.exp(wide - _of_own(jax.ops.segment_max, wide, lengths))
    return _within(exps / _of_own(jax.ops.segment_sum, exps, lengths), lengths).astype(Xs.dtype)


def backprop_softmax_sequences(dY: Any, Y: Any, lengths: Any) -> Any:
    dY, shares = dY.astype(_sum_type(dY)), Y.astype(_sum_type(Y))
    return _within(shares * (dY - _of_own(jax.ops.segment_sum, shares * dY, lengths)), lengths).astype(Y.dtype)


def _of_own(reduce: Callable[..., Any], X: Any, lengths: Any) -> Any:
    """What X is reduced to over the sequence of each row; the rows that belong to none are one sequence more."""
    _, segments = _segments(lengths, X.shape[0])
    return reduce(X, segments, num_segments=lengths.shape[0] + 1, indices_are_sorted=True)[segments]


def _within(rows: Any, lengths: Any) -> Any:
    """0 for rows of no sequence, and NaN throughout a sequence that reaches past the rows."""
    if lengths.shape[0] == 0:
        return jnp.zeros_like(rows)
    ends, segments = _segments(lengths, rows.shape[0])
    whole = jnp.take(ends <= rows.shape[0], segments, mode="clip")[:, None]
    return jnp.where((segments < lengths.shape[0])[:, None], jnp.where(whole, rows, jnp.nan), 0)


KERNELS: Mapping[str, Callable[..., Any]] = {
    "gemm": gemm,
    "batched_gemm": batched_gemm,
    "affine": affine,
    "gather": gather,
    "scatter_add": scatter_add,
    "gather_add": gather_add,
    "backprop_gather_add": backprop_gather_add,
    "backprop_maxout": backprop_maxout,
    "backprop_affine_maxout": backprop_affine_maxout,
    "embedding_bag": embedding_bag,
    "backprop_embedding_bag": backprop_embedding_bag,
    "reduce_sum": reduce_sum,
    "reduce_mean": reduce_mean,
    "reduce_max": reduce_max,
    "attention": attention,
    "backprop_attention": backprop_attention,
    "softmax_sequences": softmax_sequences,
    "backprop_softmax_sequences": backprop_softmax_sequences,
}
