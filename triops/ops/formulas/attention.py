"""Attention over ragged sequences, some sequences side by side, or some rows of a long one, at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from triops.ops.formulas.registry import formula
from triops.ops.formulas.segments import ends_of, rows_at, segments_of, sum_type

_SCORES = 1 << 22  # at a time
_INF = float("inf")


@formula
def attention(
    xp: Any, Q: Any, K: Any, V: Any, lengths: Any, kv_lengths: Any, mask: Any,
    *, scale: float, causal: bool, longest: int, longest_keys: int,
) -> tuple[Any, Any]:  # fmt: skip
    batch = _Batch(xp, Q, K, V, lengths, kv_lengths, mask, scale, causal, longest, longest_keys)
    outputs, sums = [], []
    for group in batch.groups():
        k, v = batch.keys(K, group), batch.keys(V, group)
        blocks = []
        for rows in batch.blocks():
            scores, visible = batch.scores(group, rows, k)
            exps, total, logs = _softmax_parts(xp, scores, visible)
            blocks.append((batch.upright(xp.matmul(exps, v) / total), batch.upright(logs)))
        outputs.append(xp.concatenate([Y for Y, _ in blocks], axis=1))
        sums.append(xp.concatenate([logs for _, logs in blocks], axis=1))
    return (
        batch.queries_in_rows(outputs, (*Q.shape[:2], V.shape[2]), Q.dtype),
        batch.queries_in_rows(sums, (*Q.shape[:2], 1), Q.dtype, nothing=-_INF)[..., 0],
    )


@formula
def backprop_attention(
    xp: Any, dY: Any, Q: Any, K: Any, V: Any, Y: Any, logsumexp: Any, lengths: Any, kv_lengths: Any, mask: Any,
    *, scale: float, causal: bool, longest: int, longest_keys: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    batch = _Batch(xp, Q, K, V, lengths, kv_lengths, mask, scale, causal, longest, longest_keys)
    half = Q.dtype.itemsize < 4
    dQs, dKs, dVs = [], [], []
    for group in batch.groups():
        k, v = batch.keys(K, group), batch.keys(V, group)
        dk, dv, blocks = 0 * k, 0 * v, []
        for rows in batch.blocks():
            scores, visible = batch.scores(group, rows, k)
            dy = batch.queries(dY, group, rows)
            d_weights = xp.matmul(dy, xp.swapaxes(v, 2, 3))
            if half:
                exps, total, _ = _softmax_parts(xp, scores, visible)
                weights = exps / total
                along = xp.sum(weights * d_weights, axis=-1, keepdims=True)
            else:
                logs = batch.queries(logsumexp[..., None], group, rows)
                logs = xp.where(logs == -_INF, 0, logs)
                weights = xp.where(visible, xp.exp(scores - logs), 0)
                along = xp.sum(dy * batch.queries(Y, group, rows), axis=-1, keepdims=True)
            d_scores = weights * (d_weights - along) * scale
            blocks.append(batch.upright(xp.matmul(d_scores, k)))
            dk = dk + xp.matmul(xp.swapaxes(d_scores, 2, 3), batch.queries(Q, group, rows))
            dv = dv + xp.matmul(xp.swapaxes(weights, 2, 3), dy)
        dQs.append(xp.concatenate(blocks, axis=1))
        dKs.append(batch.upright(dk))
        dVs.append(batch.upright(dv))
    return (
        batch.queries_in_rows(dQs, Q.shape, Q.dtype),
        batch.keys_in_rows(dKs, K.shape, Q.dtype),
        batch.keys_in_rows(dVs, V.shape, Q.dtype),
    )


def _softmax_parts(xp: Any, scores: Any, visible: Any) -> tuple[Any, Any, Any]:
    """The exponentials, what they are to be divided by, and its logarithm, -∞ where nothing is visible."""
    seen = xp.any(visible, axis=-1, keepdims=True)
    top = xp.where(seen, xp.max(scores, axis=-1, keepdims=True), 0)
    exps = xp.where(visible, xp.exp(scores - top), 0)
    total = xp.where(seen, xp.sum(exps, axis=-1, keepdims=True), 1)
    return exps, total, xp.where(seen, top + xp.log(total), -_INF)


class _Batch:
    """Rows as sequences side by side, (sequences, heads, rows, columns), in float32 at least, and back."""

    def __init__(
        self, xp: Any, Q: Any, K: Any, V: Any, lengths: Any, kv_lengths: Any, mask: Any,
        scale: float, causal: bool, longest: int, longest_keys: int,
    ) -> None:  # fmt: skip
        self.xp, self.Q, self.mask, self.scale, self.causal = xp, Q, mask, scale, causal
        self.wide = sum_type(Q.dtype)
        self.counts = lengths.astype("int32")
        self.ends = ends_of(xp, lengths)
        self.kv_counts = self.counts if kv_lengths is None else kv_lengths.astype("int32")
        self.kv_ends = self.ends if kv_lengths is None else ends_of(xp, kv_lengths)
        self.longest, self.longest_keys = longest, longest_keys
        self.fits = _fits(xp, self.counts, self.ends, Q.shape[0], longest)
        self.fits = self.fits & _fits(xp, self.kv_counts, self.kv_ends, K.shape[0], longest_keys)

    def groups(self) -> Iterator[slice]:
        """Sequences whose scores are held at a time: none where there is nothing to look at."""
        if self.longest and self.longest_keys:
            size = max(1, _SCORES // (self.Q.shape[1] * self.longest * self.longest_keys))
            yield from _slices(self.counts.shape[0], size)

    def blocks(self) -> Iterator[slice]:
        """Queries whose scores are held at a time."""
        return _slices(self.longest, max(1, _SCORES // (self.Q.shape[1] * self.longest_keys)))

    def queries(self, X: Any, group: slice, rows: slice) -> Any:
        return self._side_by_side(X, self.ends, self.counts, group, rows)

    def keys(self, X: Any, group: slice) -> Any:
        return self._side_by_side(X, self.kv_ends, self.kv_counts, group, slice(0, self.longest_keys))

    def scores(self, group: slice, rows: slice, k: Any) -> tuple[Any, Any]:
        """Scores, -∞ where they are not visible, and which are."""
        xp = self.xp
        q = self.queries(self.Q, group, rows) * self.scale
        t = xp.arange(rows.start, rows.stop, dtype="int32")[:, None]
        s = xp.arange(self.longest_keys, dtype="int32")[None, :]
        counts, kv_counts = self.counts[group, None, None], self.kv_counts[group, None, None]
        visible = (t < counts) & (s < kv_counts)
        if self.causal:
            visible = visible & (s <= t + (kv_counts - counts))
        if self.mask is not None:
            places = self._places(self.ends, self.counts, group, rows)
            masks = rows_at(xp, self.mask, places.reshape(-1))[:, : self.longest_keys]
            visible = visible & masks.reshape(*places.shape, self.longest_keys)
        visible = visible[:, None]
        return xp.where(visible, xp.matmul(q, xp.swapaxes(k, 2, 3)), -_INF), visible

    def upright(self, blocks: Any) -> Any:
        """(sequences, rows, heads, columns)."""
        return self.xp.swapaxes(blocks, 1, 2)

    def queries_in_rows(self, groups: list[Any], shape: Any, dtype: Any, nothing: float = 0) -> Any:
        return self._in_rows(groups, self.ends, self.counts, self.longest, shape, dtype, nothing)

    def keys_in_rows(self, groups: list[Any], shape: Any, dtype: Any) -> Any:
        return self._in_rows(groups, self.kv_ends, self.kv_counts, self.longest_keys, shape, dtype, 0)

    def _places(self, ends: Any, counts: Any, group: slice, rows: slice) -> Any:
        return (ends - counts)[group, None] + self.xp.arange(rows.start, rows.stop, dtype="int32")

    def _side_by_side(self, X: Any, ends: Any, counts: Any, group: slice, rows: slice) -> Any:
        places = self._places(ends, counts, group, rows)
        blocks = rows_at(self.xp, X, places.reshape(-1)).reshape(*places.shape, *X.shape[1:])
        there = places < ends[group, None]
        return self.xp.swapaxes(self.xp.where(there[..., None, None], blocks, 0).astype(self.wide), 1, 2)

    def _in_rows(
        self, groups: list[Any], ends: Any, counts: Any, longest: int, shape: Any, dtype: Any, nothing: float
    ) -> Any:
        xp = self.xp
        if not groups:
            return xp.full(tuple(shape), nothing, dtype=dtype)
        segments = segments_of(xp, counts, shape[0])
        inside = xp.arange(shape[0], dtype="int32") - rows_at(xp, ends - counts, segments)
        padded = xp.concatenate(groups, axis=0)
        rows = rows_at(xp, padded.reshape(len(padded) * longest, *padded.shape[2:]), segments * longest + inside)
        return xp.where(self.fits, rows, float("nan")).astype(dtype)


def _slices(extent: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, extent)) for start in range(0, extent, size))


def _fits(xp: Any, counts: Any, ends: Any, rows: int, longest: int) -> Any:
    """Whether lengths add up, and none is too large: where they cannot be checked, results are NaN instead."""
    if counts.shape[0] == 0:
        return xp.asarray(True)
    return (ends[-1] == rows) & (xp.max(counts) <= longest)
