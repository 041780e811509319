"""Attention, a head of a sequence at a time, threads over these. What is multiplied from the right is loaded into
scratch blocks, in whose columns tiles fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import matrix, spread
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.integers import starts_of
from triops.backends.numpy.compiled.jit import called, summed
from triops.backends.numpy.compiled.rows import total_of_product
from triops.backends.numpy.compiled.scalar import F, I, exp, keep_nan, order, unorder
from triops.backends.numpy.compiled.tiles import in_tiles, tiled

__all__ = ["ATTENTION"]

_THRESHOLD = 8  # heads of sequences from which a second thread pays
_BLOCK = 32  # queries whose scores are held at a time
_INF = F(np.inf)
_LOWEST_KEY = I(-(2**31))


@called
def load(X: Any, step: int, first: int, end: int, at: int, count: int, scale: Any, block: Any) -> None:
    """A head of some rows."""
    for t in range(end - first):
        row, place = block[t], (first + t) * step + at
        for c in range(count):
            row[c] = X[place + c] * scale


@called
def load_turned(X: Any, step: int, first: int, end: int, at: int, count: int, scale: Any, block: Any) -> None:
    """A row a column."""
    for t in range(end - first):
        place = (first + t) * step + at
        for c in range(count):
            block[c, t] = X[place + c] * scale


@called
def store(block: Any, scale: Any, first: int, end: int, head: int, X: Any) -> None:
    """The other way round."""
    for t in range(end - first):
        row, own = X[first + t, head], block[t]
        for c in range(row.shape[0]):
            row[c] = own[c] * scale


@called
def clear(block: Any, rows: int) -> None:
    """Zeros."""
    for i in range(rows):
        row = block[i]
        for j in range(row.shape[0]):
            row[j] = F(0)


@called
def seen_by(t: int, keys: int, queries: int, causal: bool, mask: Any, row: int, scores: Any) -> int:
    """Up to which key query t sees some, 0 for none; the scores of those before that it may not see become -∞."""
    reach = keys
    if causal:
        reach = max(0, min(keys, t + 1 + keys - queries))
    if mask.shape[1] == 0:
        return reach
    last = 0
    for s in range(reach):
        if mask[row, s]:
            last = s + 1
        else:
            scores[s] = -_INF
    return last


@called
def softmax_row(scores: Any, seen: int) -> Any:
    """Shares of the first `seen`, in place, and zeros after them; returns the logarithm of their sum."""
    key = _LOWEST_KEY
    for s in range(seen):
        key = max(key, order(scores[s]))
    top = unorder(key)
    total = F(0)
    for s in range(seen):
        x = scores[s] - top
        scores[s] = keep_nan(x, exp(x))
    total = sum_of(scores, seen)
    for s in range(seen):
        scores[s] /= total
    for s in range(seen, scores.size):
        scores[s] = F(0)
    return top + F(math.log(total)) if seen else -_INF


@summed
def sum_of(row: Any, count: int) -> Any:
    total = F(0)
    for s in range(count):
        total += row[s]
    return total


@called
def gradient_row(scores: Any, d_scores: Any, seen: int, log: Any, along: Any) -> None:
    """Scores become shares, and the gradient of shares that of scores."""
    for s in range(seen):
        x = scores[s] - log
        share = keep_nan(x, exp(x))
        scores[s] = share
        d_scores[s] = share * (d_scores[s] - along)
    for s in range(seen, scores.size):
        scores[s] = F(0)
        d_scores[s] = F(0)


def attend(
    pairs: Any, Q: Any, step_Q: int, K: Any, step_K: int, V: Any, step_V: int, q_starts: Any, k_starts: Any,
    mask: Any, scale: Any, causal: bool, most: int, nI: int, Y: Any, logsumexp: Any,
) -> None:  # fmt: skip
    nO = Y.shape[2]
    wide, columns = in_tiles(most), in_tiles(nO)
    kt, v = np.zeros((nI, wide), np.float32), np.zeros((most, columns), np.float32)
    scores, y = np.empty((_BLOCK, wide), np.float32), np.empty((_BLOCK, columns), np.float32)
    for pair in range(pairs.shape[0]):
        n, head = pairs[pair, 0], pairs[pair, 1]
        first, end, first_key, end_key = q_starts[n], q_starts[n + 1], k_starts[n], k_starts[n + 1]
        keys = end_key - first_key
        load_turned(K, step_K, first_key, end_key, nI * head, nI, scale, kt)
        load(V, step_V, first_key, end_key, nO * head, nO, F(1), v)
        for start in range(first, end, _BLOCK):
            stop = min(start + _BLOCK, end)
            rows, reach = stop - start, keys
            if causal:
                reach = min(keys, max(0, stop - end + keys))
            tiled(
                Q.ctypes.data + 4 * (start * step_Q + nI * head), step_Q, 1, kt.ctypes.data, wide,
                scores.ctypes.data, wide, rows, nI, in_tiles(reach), False,
            )  # fmt: skip
            for i in range(rows):
                t, own = start + i, scores[i, :reach]
                seen = seen_by(t - first, keys, end - first, causal, mask, t, own)
                logsumexp[t, head] = softmax_row(own, seen)
            tiled(
                scores.ctypes.data, wide, 1, v.ctypes.data, columns, y.ctypes.data, columns, rows, reach,
                columns, False,
            )  # fmt: skip
            store(y, F(1), start, stop, head, Y)


def backprop_attend(
    pairs: Any, dY: Any, step_dY: int, Q: Any, step_Q: int, K: Any, step_K: int, V: Any, step_V: int, Y: Any,
    step_Y: int, logsumexp: Any, q_starts: Any, k_starts: Any, mask: Any, scale: Any, causal: bool, most: int,
    dQ: Any, dK: Any, dV: Any,
) -> None:  # fmt: skip
    nI, nO = dQ.shape[2], dV.shape[2]
    wide, width, columns = in_tiles(most), in_tiles(nI), in_tiles(nO)
    kt, vt = np.zeros((nI, wide), np.float32), np.zeros((nO, wide), np.float32)
    k, dk, dv = (
        np.zeros((most, width), np.float32), np.empty((most, width), np.float32),
        np.empty((most, columns), np.float32),
    )  # fmt: skip
    q, dq = np.zeros((_BLOCK, width), np.float32), np.empty((_BLOCK, width), np.float32)
    dy = np.zeros((_BLOCK, columns), np.float32)
    scores, d_scores = np.empty((_BLOCK, wide), np.float32), np.empty((_BLOCK, wide), np.float32)
    for pair in range(pairs.shape[0]):
        n, head = pairs[pair, 0], pairs[pair, 1]
        first, end, first_key, end_key = q_starts[n], q_starts[n + 1], k_starts[n], k_starts[n + 1]
        keys = end_key - first_key
        load(K, step_K, first_key, end_key, nI * head, nI, scale, k)
        load_turned(K, step_K, first_key, end_key, nI * head, nI, scale, kt)
        load_turned(V, step_V, first_key, end_key, nO * head, nO, F(1), vt)
        clear(dk, keys)
        clear(dv, keys)
        for start in range(first, end, _BLOCK):
            stop = min(start + _BLOCK, end)
            rows, reach = stop - start, keys
            if causal:
                reach = min(keys, max(0, stop - end + keys))
            load(Q, step_Q, start, stop, nI * head, nI, F(1), q)
            load(dY, step_dY, start, stop, nO * head, nO, F(1), dy)
            tiled(
                q.ctypes.data, width, 1, kt.ctypes.data, wide, scores.ctypes.data, wide, rows, nI,
                in_tiles(reach), False,
            )  # fmt: skip
            tiled(
                dy.ctypes.data, columns, 1, vt.ctypes.data, wide, d_scores.ctypes.data, wide, rows, nO,
                in_tiles(reach), False,
            )  # fmt: skip
            for i in range(rows):
                t, own, place = start + i, scores[i, :reach], (start + i) * step_Y + nO * head
                seen = seen_by(t - first, keys, end - first, causal, mask, t, own)
                along = total_of_product(dy[i, :nO], Y[place : place + nO])
                gradient_row(own, d_scores[i, :reach], seen, logsumexp[t, head], along)
            tiled(
                scores.ctypes.data, 1, wide, dy.ctypes.data, columns, dv.ctypes.data, columns, reach, rows,
                columns, True,
            )  # fmt: skip
            tiled(
                d_scores.ctypes.data, 1, wide, q.ctypes.data, width, dk.ctypes.data, width, reach, rows, width,
                True,
            )  # fmt: skip
            tiled(
                d_scores.ctypes.data, wide, 1, k.ctypes.data, width, dq.ctypes.data, width, rows, reach, width,
                False,
            )  # fmt: skip
            store(dq, F(1), start, stop, head, dQ)
        store(dk, scale, first_key, end_key, head, dK)
        store(dv, F(1), first_key, end_key, head, dV)


_attend = Kernel(attend, globals(), {"pairs": 1}, threshold=_THRESHOLD)
_backprop_attend = Kernel(backprop_attend, globals(), {"pairs": 1}, threshold=_THRESHOLD)


def attention(
    Q: Any, K: Any, V: Any, lengths: Any, kv_lengths: Any, mask: Any,
    *, scale: float, causal: bool, longest: int, longest_keys: int,
) -> tuple[Any, Any]:  # fmt: skip
    Y, logsumexp = np.empty((*Q.shape[:2], V.shape[2]), np.float32), np.empty(Q.shape[:2], np.float32)
    if Q.size:
        pairs, *rest = _layout(Q, lengths, kv_lengths, mask, scale, causal, longest_keys)
        _attend(len(pairs), pairs, *spread(Q), *spread(K), *spread(V), *rest, Q.shape[2], Y, logsumexp)
    return Y, logsumexp


def backprop_attention(
    dY: Any, Q: Any, K: Any, V: Any, Y: Any, logsumexp: Any, lengths: Any, kv_lengths: Any, mask: Any,
    *, scale: float, causal: bool, longest: int, longest_keys: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    dQ, dK, dV = (np.empty(array.shape, np.float32) for array in (Q, K, V))
    if Q.size or K.size:
        pairs, *rest = _layout(Q, lengths, kv_lengths, mask, scale, causal, longest_keys)
        arrays = [part for array in (dY, Q, K, V, Y) for part in spread(array)]
        _backprop_attend(len(pairs), pairs, *arrays, matrix(logsumexp), *rest, dQ, dK, dV)
    return dQ, dK, dV


def _layout(
    Q: Any, lengths: Any, kv_lengths: Any, mask: Any, scale: float, causal: bool, longest_keys: int
) -> tuple[Any, ...]:
    """Each sequence with each head, and what both kernels are told."""
    heads = Q.shape[1]
    pairs = np.empty((len(lengths), heads, 2), np.int64)
    pairs[..., 0] = np.arange(len(lengths))[:, None]
    pairs[..., 1] = np.arange(heads)
    starts = starts_of(lengths)
    key_starts = starts if kv_lengths is None else starts_of(kv_lengths)
    masks = np.empty((0, 0), np.bool_) if mask is None else matrix(mask)
    return pairs.reshape(-1, 2), starts, key_starts, masks, scale, causal, longest_keys


ATTENTION: Mapping[str, Callable[..., Any]] = {
    "attention": attention,
    "backprop_attention": backprop_attention,
}
