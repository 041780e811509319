"""Attention for XLA: blocks of scores one after the other, so that only one is held at a time."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["attention", "backprop_attention"]

_SCORES = 1 << 22  # at a time


def attention(
    Q: Any, K: Any, V: Any, lengths: Any, kv_lengths: Any, mask: Any,
    *, scale: float, causal: bool, longest: int, longest_keys: int,
) -> tuple[Any, Any]:  # fmt: skip
    batch = _Batch(Q, K, lengths, kv_lengths, mask, scale, causal, longest, longest_keys)
    if batch.nothing:
        return jnp.zeros((*Q.shape[:2], V.shape[2]), Q.dtype), jnp.full(Q.shape[:2], -jnp.inf, Q.dtype)

    def group(sequences: Any) -> tuple[Any, Any]:
        k, v = batch.keys(K, sequences), batch.keys(V, sequences)

        def block(start: Any) -> tuple[Any, Any]:
            scores, visible = batch.scores(sequences, start, k)
            exps, total, logs = _softmax_parts(scores, visible)
            return batch.product("nhts,nshe->nthe", exps / total, v), jnp.swapaxes(logs[..., 0], 1, 2)

        return jax.lax.map(block, batch.blocks)  # type: ignore[no-any-return]

    Y, logs = jax.lax.map(group, batch.groups)
    return batch.query_rows(Y, Q.dtype), batch.query_rows(logs, Q.dtype)


def backprop_attention(
    dY: Any, Q: Any, K: Any, V: Any, Y: Any, logsumexp: Any, lengths: Any, kv_lengths: Any, mask: Any,
    *, scale: float, causal: bool, longest: int, longest_keys: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    batch = _Batch(Q, K, lengths, kv_lengths, mask, scale, causal, longest, longest_keys)
    if batch.nothing:
        return jnp.zeros_like(Q), jnp.zeros_like(K), jnp.zeros_like(V)
    half = Q.dtype.itemsize < 4

    def group(sequences: Any) -> tuple[Any, Any, Any]:
        k, v = batch.keys(K, sequences), batch.keys(V, sequences)

        def block(sums: Any, start: Any) -> tuple[Any, Any]:
            dk, dv = sums
            scores, visible = batch.scores(sequences, start, k)
            dy = batch.queries(dY, sequences, start)
            d_weights = batch.product("nthe,nshe->nhts", dy, v)
            if half:
                exps, total, _ = _softmax_parts(scores, visible)
                weights = exps / total
                along = jnp.sum(weights * d_weights, axis=-1, keepdims=True)
            else:
                logs = batch.queries(logsumexp, sequences, start)
                logs = jnp.swapaxes(jnp.where(logs == -jnp.inf, 0, logs), 1, 2)[..., None]
                weights = jnp.where(visible, jnp.exp(scores - logs), 0)
                along = jnp.sum(dy * batch.queries(Y, sequences, start), axis=-1)
                along = jnp.swapaxes(along, 1, 2)[..., None]
            d_scores = weights * (d_weights - along) * scale
            dk += batch.product("nhts,nthd->nshd", d_scores, batch.queries(Q, sequences, start))
            dv += batch.product("nhts,nthe->nshe", weights, dy)
            return (dk, dv), batch.product("nhts,nshd->nthd", d_scores, k)

        sums = jnp.zeros(k.shape, batch.wide), jnp.zeros(v.shape, batch.wide)
        (dk, dv), dQ = jax.lax.scan(block, sums, batch.blocks)
        return dQ, dk, dv

    dQ, dK, dV = jax.lax.map(group, batch.groups)
    return batch.query_rows(dQ, Q.dtype), batch.key_rows(dK, K.dtype), batch.key_rows(dV, V.dtype)


def _softmax_parts(scores: Any, visible: Any) -> tuple[Any, Any, Any]:
    """The exponentials, what they are to be divided by, and its logarithm, -∞ where nothing is visible."""
    seen = jnp.any(visible, axis=-1, keepdims=True)
    top = jnp.where(seen, jnp.max(scores, axis=-1, keepdims=True), 0)
    exps = jnp.where(visible, jnp.exp(scores - top), 0)
    total = jnp.where(seen, jnp.sum(exps, axis=-1, keepdims=True), 1)
    return exps, total, jnp.where(seen, top + jnp.log(total), -jnp.inf)


class _Batch:
    """Rows as groups of sequences side by side, and blocks of their queries, and back."""

    def __init__(
        self, Q: Any, K: Any, lengths: Any, kv_lengths: Any, mask: Any,
        scale: float, causal: bool, longest: int, longest_keys: int,
    ) -> None:  # fmt: skip
        self.Q, self.mask, self.scale, self.causal = Q, mask, scale, causal
        self.wide = jnp.promote_types(Q.dtype, jnp.float32)
        self.count = lengths.shape[0]
        self.nothing = not (self.count and longest and longest_keys and Q.shape[0] and K.shape[0])
        if self.nothing:
            return
        row = Q.shape[1] * longest_keys
        self.size = max(1, min(self.count, _SCORES // (row * longest)))  # sequences of a group
        self.height = max(1, min(longest, _SCORES // row))  # queries of a block
        self.longest_keys, self.rows_of_keys = longest_keys, K.shape[0]
        self.blocks = jnp.arange(0, longest, self.height, dtype="int32")
        self.groups = jnp.arange(-(-self.count // self.size), dtype="int32")
        self.counts = self._padded(lengths)
        self.ends = jnp.cumsum(self.counts, dtype="int32")
        self.kv_counts = self.counts if kv_lengths is None else self._padded(kv_lengths)
        self.kv_ends = self.ends if kv_lengths is None else jnp.cumsum(self.kv_counts, dtype="int32")
        self.fits = (
            (self.ends[-1] == Q.shape[0])
            & (self.kv_ends[-1] == K.shape[0])
            & (jnp.max(self.counts) <= longest)
            & (jnp.max(self.kv_counts) <= longest_keys)
        )

    def queries(self, X: Any, group: Any, start: Any) -> Any:
        """(sequences, queries, ...)"""
        return self._rows(X, self.ends, self.counts, group, start, self.height)

    def keys(self, X: Any, group: Any) -> Any:
        """(sequences, keys, ...)"""
        return self._rows(X, self.kv_ends, self.kv_counts, group, 0, self.longest_keys)

    def scores(self, group: Any, start: Any, k: Any) -> tuple[Any, Any]:
        """(sequences, heads, queries, keys), -∞ where they are not visible, and which are."""
        t = start + jnp.arange(self.height, dtype="int32")[:, None]
        s = jnp.arange(self.longest_keys, dtype="int32")
        counts, kv_counts = (self._of(group, x)[:, None, None] for x in (self.counts, self.kv_counts))
        visible = (t < counts) & (s < kv_counts)
        if self.causal:
            visible &= s <= t + (kv_counts - counts)
        if self.mask is not None:
            masks = self.mask[:, : self.longest_keys].astype("int8")
            visible &= self._rows(masks, self.ends, self.counts, group, start, self.height) != 0
        visible = visible[:, None]
        q = self.queries(self.Q, group, start).astype(self.wide) * self.scale
        return jnp.where(visible, self.product("nthd,nshd->nhts", q, k), -jnp.inf), visible

    def product(self, subscripts: str, A: Any, B: Any) -> Any:
        """In float32 at least, of factors in the dtype of the rows."""
        A, B = A.astype(self.Q.dtype), B.astype(self.Q.dtype)
        return jnp.einsum(subscripts, A, B, precision=jax.lax.Precision.HIGHEST, preferred_element_type=self.wide)

    def query_rows(self, groups: Any, dtype: Any) -> Any:
        """(groups, blocks, sequences, queries, ...) as rows."""
        upright = jnp.moveaxis(groups, 2, 1)
        return self._in_rows(upright, 4, self.ends, self.counts, self.Q.shape[0], dtype)

    def key_rows(self, groups: Any, dtype: Any) -> Any:
        """(groups, sequences, keys, ...) as rows."""
        return self._in_rows(groups, 3, self.kv_ends, self.kv_counts, self.rows_of_keys, dtype)

    def _padded(self, lengths: Any) -> Any:
        """With lengths of 0 up to a whole number of groups."""
        return jnp.pad(lengths.astype("int32"), (0, -self.count % self.size))

    def _of(self, group: Any, numbers: Any) -> Any:
        return jax.lax.dynamic_slice_in_dim(numbers, group * self.size, self.size)

    def _rows(self, X: Any, ends: Any, counts: Any, group: Any, start: Any, height: int) -> Any:
        ends, counts = self._of(group, ends), self._of(group, counts)
        places = (ends - counts)[:, None] + start + jnp.arange(height, dtype="int32")
        places = jnp.where(places < ends[:, None], places, X.shape[0])
        return jnp.take(X, places, axis=0, mode="fill", fill_value=0)

    def _in_rows(self, groups: Any, leading: int, ends: Any, counts: Any, rows: int, dtype: Any) -> Any:
        sizes = groups.shape
        padded = groups.reshape(len(ends), math.prod(sizes[:leading]) // len(ends), *sizes[leading:])
        numbers = jnp.arange(rows, dtype="int32")
        segments = jnp.minimum(jnp.searchsorted(ends, numbers, side="right"), self.count - 1)
        found = padded[segments, numbers - (ends - counts)[segments]]
        return jnp.where(self.fits, found, jnp.nan).astype(dtype)
