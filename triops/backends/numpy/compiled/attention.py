"""Attention, a head of a sequence at a time, threads over these.

What is multiplied lies in scratch blocks, contiguous and with zeros up to multiples of four, so that one kernel
serves every product. Its columns vectorise, and sixteen factors in registers serve each column: on short
sequences it is faster than a call of BLAS, and as fast on long ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import matrix
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.integers import starts_of
from triops.backends.numpy.compiled.jit import called, summed
from triops.backends.numpy.compiled.rows import total_of_product
from triops.backends.numpy.compiled.scalar import F, I, exp, keep_nan, order, unorder

__all__ = ["ATTENTION"]

_THRESHOLD = 8  # heads of sequences from which a second thread pays
_BLOCK = 32  # queries whose scores are held at a time, a multiple of four
_INF = F(np.inf)
_LOWEST_KEY = I(-(2**31))


@called
def add_product(A: Any, B: Any, C: Any, rows: int, inner: int, columns: int) -> None:
    """C += A B, for `rows` and `inner` that are multiples of four."""
    for i in range(0, rows, 4):
        for k in range(0, inner, 4):
            a00, a01, a02, a03 = A[i, k], A[i, k + 1], A[i, k + 2], A[i, k + 3]
            a10, a11, a12, a13 = A[i + 1, k], A[i + 1, k + 1], A[i + 1, k + 2], A[i + 1, k + 3]
            a20, a21, a22, a23 = A[i + 2, k], A[i + 2, k + 1], A[i + 2, k + 2], A[i + 2, k + 3]
            a30, a31, a32, a33 = A[i + 3, k], A[i + 3, k + 1], A[i + 3, k + 2], A[i + 3, k + 3]
            for j in range(columns):
                b0, b1, b2, b3 = B[k, j], B[k + 1, j], B[k + 2, j], B[k + 3, j]
                C[i, j] += a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                C[i + 1, j] += a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                C[i + 2, j] += a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                C[i + 3, j] += a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3


@called
def clear(block: Any, rows: int, columns: int) -> None:
    """Zeros."""
    for i in range(rows):
        for j in range(columns):
            block[i, j] = F(0)


@called
def load(X: Any, first: int, end: int, head: int, scale: Any, block: Any) -> int:
    """A head of some rows, and zeros up to the next multiple of four; returns how many rows these are."""
    rows = end - first
    padded = (rows + 3) // 4 * 4
    for t in range(rows):
        for c in range(X.shape[2]):
            block[t, c] = X[first + t, head, c] * scale
        for c in range(X.shape[2], block.shape[1]):
            block[t, c] = F(0)
    for t in range(rows, padded):
        for c in range(block.shape[1]):
            block[t, c] = F(0)
    return padded


@called
def store(block: Any, scale: Any, first: int, end: int, head: int, X: Any) -> None:
    """The other way round, without the zeros."""
    for t in range(end - first):
        for c in range(X.shape[2]):
            X[first + t, head, c] = block[t, c] * scale


@called
def transpose(block: Any, rows: int, columns: int, turned: Any) -> None:
    """A row a column."""
    for i in range(rows):
        for j in range(columns):
            turned[j, i] = block[i, j]


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
    pairs: Any, Q: Any, K: Any, V: Any, q_starts: Any, k_starts: Any, mask: Any,
    scale: Any, causal: bool, most: int, Y: Any, logsumexp: Any,
) -> None:  # fmt: skip
    width, columns = (Q.shape[2] + 3) // 4 * 4, V.shape[2]
    q, y = np.empty((_BLOCK, width), np.float32), np.empty((_BLOCK, columns), np.float32)
    k, v = np.empty((most, width), np.float32), np.empty((most, columns), np.float32)
    kt, scores = np.empty((width, most), np.float32), np.empty((_BLOCK, most), np.float32)
    for pair in range(pairs.shape[0]):
        n, head = pairs[pair, 0], pairs[pair, 1]
        first, end, first_key, end_key = q_starts[n], q_starts[n + 1], k_starts[n], k_starts[n + 1]
        padded = load(K, first_key, end_key, head, F(1), k)
        load(V, first_key, end_key, head, F(1), v)
        transpose(k, padded, width, kt)
        for start in range(first, end, _BLOCK):
            stop = min(start + _BLOCK, end)
            rows = load(Q, start, stop, head, scale, q)
            reach = min(padded, max(0, stop - end + end_key - first_key + 3) // 4 * 4) if causal else padded
            clear(scores, rows, reach)
            clear(y, rows, columns)
            add_product(q, kt, scores, rows, width, reach)
            for i in range(rows):
                t, seen = start + i, 0
                if t < stop:
                    seen = seen_by(t - first, end_key - first_key, end - first, causal, mask, t, scores[i])
                log = softmax_row(scores[i], seen)
                if t < stop:
                    logsumexp[t, head] = log
            add_product(scores, v, y, rows, reach, columns)
            store(y, F(1), start, stop, head, Y)


def backprop_attend(
    pairs: Any, dY: Any, Q: Any, K: Any, V: Any, Y: Any, logsumexp: Any, q_starts: Any, k_starts: Any, mask: Any,
    scale: Any, causal: bool, most: int, dQ: Any, dK: Any, dV: Any,
) -> None:  # fmt: skip
    width, columns = (Q.shape[2] + 3) // 4 * 4, (V.shape[2] + 3) // 4 * 4
    q, dq = np.empty((_BLOCK, width), np.float32), np.empty((_BLOCK, width), np.float32)
    y, dy = np.empty((_BLOCK, columns), np.float32), np.empty((_BLOCK, columns), np.float32)
    k, v = np.empty((most, width), np.float32), np.empty((most, columns), np.float32)
    kt, vt = np.empty((width, most), np.float32), np.empty((columns, most), np.float32)
    dk, dv = np.empty((most, width), np.float32), np.empty((most, columns), np.float32)
    scores, d_scores = np.empty((_BLOCK, most), np.float32), np.empty((_BLOCK, most), np.float32)
    turned = np.empty((most, _BLOCK), np.float32)
    for pair in range(pairs.shape[0]):
        n, head = pairs[pair, 0], pairs[pair, 1]
        first, end, first_key, end_key = q_starts[n], q_starts[n + 1], k_starts[n], k_starts[n + 1]
        padded = load(K, first_key, end_key, head, F(1), k)
        load(V, first_key, end_key, head, F(1), v)
        transpose(k, padded, width, kt)
        transpose(v, padded, columns, vt)
        clear(dk, padded, width)
        clear(dv, padded, columns)
        for start in range(first, end, _BLOCK):
            stop = min(start + _BLOCK, end)
            rows = load(Q, start, stop, head, scale, q)
            load(dY, start, stop, head, F(1), dy)
            load(Y, start, stop, head, F(1), y)
            reach = min(padded, max(0, stop - end + end_key - first_key + 3) // 4 * 4) if causal else padded
            clear(scores, rows, reach)
            clear(d_scores, rows, reach)
            clear(dq, rows, width)
            add_product(q, kt, scores, rows, width, reach)
            add_product(dy, vt, d_scores, rows, columns, reach)
            for i in range(rows):
                t, seen, log, along = start + i, 0, F(0), F(0)
                if t < stop:
                    seen = seen_by(t - first, end_key - first_key, end - first, causal, mask, t, scores[i])
                    log, along = logsumexp[t, head], total_of_product(dy[i], y[i])
                gradient_row(scores[i], d_scores[i], seen, log, along)
            transpose(scores, rows, reach, turned)
            add_product(turned, dy, dv, reach, rows, columns)
            transpose(d_scores, rows, reach, turned)
            add_product(turned, q, dk, reach, rows, width)
            add_product(d_scores, k, dq, rows, reach, width)
            store(dq, scale, start, stop, head, dQ)
        store(dk, F(1), first_key, end_key, head, dK)
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
        _attend(len(pairs), pairs, matrix(Q), matrix(K), matrix(V), *rest, Y, logsumexp)
    return Y, logsumexp


def backprop_attention(
    dY: Any, Q: Any, K: Any, V: Any, Y: Any, logsumexp: Any, lengths: Any, kv_lengths: Any, mask: Any,
    *, scale: float, causal: bool, longest: int, longest_keys: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    dQ, dK, dV = (np.empty(array.shape, np.float32) for array in (Q, K, V))
    if Q.size or K.size:
        pairs, *rest = _layout(Q, lengths, kv_lengths, mask, scale, causal, longest_keys)
        arrays = map(matrix, (dY, Q, K, V, Y, logsumexp))
        _backprop_attend(len(pairs), pairs, *arrays, *rest, dQ, dK, dV)
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
    return pairs.reshape(-1, 2), starts, key_starts, masks, F(scale), causal, -(-longest_keys // 4) * 4


ATTENTION: Mapping[str, Callable[..., Any]] = {
    "attention": attention,
    "backprop_attention": backprop_attention,
}
