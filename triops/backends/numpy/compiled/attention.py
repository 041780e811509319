"""Attention, a head of a sequence at a time, threads over these. Everything is multiplied where it lies, except
keys and values whose transposes are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import floats, matrix, spread
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.counts import larger, smaller
from triops.backends.numpy.compiled.integers import starts_of
from triops.backends.numpy.compiled.jit import called
from triops.backends.numpy.compiled.lanes import highest_key, scale_row, sum_of_products, total_of
from triops.backends.numpy.compiled.panels import turn
from triops.backends.numpy.compiled.places import at, get, put
from triops.backends.numpy.compiled.scalar import F, exp, keep_nan, unorder
from triops.backends.numpy.compiled.scratch import empty, zeros
from triops.backends.numpy.compiled.tiles import PANEL, in_tiles, tiled

__all__ = ["ATTENTION"]

_THRESHOLD = 8  # heads of sequences from which a second thread pays
_BLOCK = 48  # queries whose scores are held at a time
_INF = F(np.inf)
_PLACE = np.dtype(np.int64)
_NO_MASK = np.empty((0, 0), np.bool_)


@called
def seen_by(t: int, keys: int, queries: int, causal: bool, mask: Any, row: int, scores: int) -> int:
    """Up to which key query t sees some, 0 for none; the scores of those before that it may not see become -∞.
    scores: an address, as everywhere here."""
    reach = keys
    if causal:
        reach = larger(0, smaller(keys, t + 1 + keys - queries))
    if mask.shape[1] == 0:
        return reach
    last = 0
    for s in range(reach):
        if mask[row, s]:
            last = s + 1
        else:
            put(scores, s, -_INF)
    return last


@called
def softmax_row(scores: int, seen: int, columns: int) -> Any:
    """Shares of the first `seen`, in place, and zeros after them; returns the logarithm of their sum. Loops go by
    whole panels, which are whole vectors: a row is too short for the compiler's own way of ending one."""
    rest = -_INF if seen else F(0)
    for s in range(seen, columns):
        put(scores, s, rest)
    if seen == 0:
        return -_INF
    panels = columns // PANEL
    top = unorder(highest_key(scores, panels))
    for p in range(panels):
        panel = scores + 4 * PANEL * p
        for c in range(PANEL):
            x = get(panel, c) - top
            put(panel, c, keep_nan(x, exp(x)))
    total = total_of(scores, panels)
    scale_row(scores, panels, F(1) / total)
    return top + F(math.log(total))


@called
def along_of(one: int, other: int, columns: int) -> Any:
    panels = columns // PANEL
    total = sum_of_products(one, other, panels)
    for c in range(PANEL * panels, columns):
        total += get(one, c) * get(other, c)
    return total


@called
def gradient_row(scores: int, d_scores: int, seen: int, columns: int, log: Any, along: Any, scale: Any) -> None:
    """Scores become shares, and the gradient of shares that of scores."""
    for s in range(seen, columns):
        put(scores, s, -_INF)
    log = log if seen else F(0)
    for p in range(columns // PANEL):
        panel, d_panel = scores + 4 * PANEL * p, d_scores + 4 * PANEL * p
        for c in range(PANEL):
            x = get(panel, c) - log
            share = keep_nan(x, exp(x))
            put(panel, c, share)
            put(d_panel, c, share * (get(d_panel, c) - along) * scale)
    for s in range(seen, columns):
        put(d_scores, s, F(0))


def attend(
    pairs: Any, heads: int, Q: Any, step_Q: int, K: Any, step_K: int, V: Any, step_V: int, q_starts: Any,
    k_starts: Any, mask: Any, scale: Any, causal: bool, most: int, nI: int, Y: Any, logsumexp: Any,
) -> None:  # fmt: skip
    nO, wide = Y.shape[2], in_tiles(most)
    step_Y = Y.shape[1] * nO
    kt, scores = zeros((nI, wide)), empty((_BLOCK, wide))
    for pair in range(pairs.shape[0]):
        n = pairs[pair] // heads
        head = pairs[pair] - n * heads
        first, end, first_key, end_key = q_starts[n], q_starts[n + 1], k_starts[n], k_starts[n + 1]
        keys = end_key - first_key
        turn(at(K, first_key * step_K + nI * head), step_K, keys, nI, scale, at(kt, 0), wide)
        for start in range(first, end, _BLOCK):
            rows = smaller(end - start, _BLOCK)
            reach = smaller(keys, larger(0, start + rows - end + keys)) if causal else keys
            columns = in_tiles(reach)
            tiled(
                at(Q, start * step_Q + nI * head), step_Q, 1, at(kt, 0), wide, PANEL,
                at(scores, 0), wide, rows, nI, columns, False,
            )  # fmt: skip
            for i in range(rows):
                t, own = start + i, at(scores, wide * i)
                seen = seen_by(t - first, keys, end - first, causal, mask, t, own)
                logsumexp[t, head] = softmax_row(own, seen, columns)
            tiled(
                at(scores, 0), wide, 1, at(V, first_key * step_V + nO * head), step_V, PANEL,
                at(Y, start * step_Y + nO * head), step_Y, rows, reach, nO, False,
            )  # fmt: skip


def backprop_attend(
    pairs: Any, heads: int, dY: Any, step_dY: int, Q: Any, step_Q: int, K: Any, step_K: int, V: Any,
    step_V: int, Y: Any, step_Y: int, logsumexp: Any, q_starts: Any, k_starts: Any, mask: Any, scale: Any,
    causal: bool, most: int, nI: int, nO: int, dQ: Any, step_dQ: int, dK: Any, step_dK: int, dV: Any,
    step_dV: int,
) -> None:  # fmt: skip
    wide = in_tiles(most)
    kt, vt = zeros((nI, wide)), zeros((nO, wide))
    scores, d_scores = empty((_BLOCK, wide)), empty((_BLOCK, wide))
    for pair in range(pairs.shape[0]):
        n = pairs[pair] // heads
        head = pairs[pair] - n * heads
        first, end, first_key, end_key = q_starts[n], q_starts[n + 1], k_starts[n], k_starts[n + 1]
        keys = end_key - first_key
        k = at(K, first_key * step_K + nI * head)
        dk = at(dK, first_key * step_dK + nI * head)
        dv = at(dV, first_key * step_dV + nO * head)
        turn(k, step_K, keys, nI, scale, at(kt, 0), wide)
        turn(at(V, first_key * step_V + nO * head), step_V, keys, nO, F(1), at(vt, 0), wide)
        for start in range(first, larger(end, first + 1), _BLOCK):
            rows = smaller(end - start, _BLOCK)
            q = at(Q, start * step_Q + nI * head)
            dy = at(dY, start * step_dY + nO * head)
            columns = in_tiles(keys)
            tiled(
                q, step_Q, 1, at(kt, 0), wide, PANEL, at(scores, 0), wide, rows, nI, columns, False
            )  # fmt: skip
            tiled(
                dy, step_dY, 1, at(vt, 0), wide, PANEL, at(d_scores, 0), wide, rows, nO, columns, False
            )  # fmt: skip
            for i in range(rows):
                t, own, d_own = start + i, at(scores, wide * i), at(d_scores, wide * i)
                seen = seen_by(t - first, keys, end - first, causal, mask, t, own)
                along = along_of(dy + 4 * step_dY * i, at(Y, t * step_Y + nO * head), nO)
                gradient_row(own, d_own, seen, columns, logsumexp[t, head], along, scale)
            tiled(
                at(scores, 0), 1, wide, dy, step_dY, PANEL, dv, step_dV, keys, rows, nO, start > first
            )  # fmt: skip
            tiled(
                at(d_scores, 0), 1, wide, q, step_Q, PANEL, dk, step_dK, keys, rows, nI, start > first
            )  # fmt: skip
            tiled(
                at(d_scores, 0), wide, 1, k, step_K, PANEL,
                at(dQ, start * step_dQ + nI * head), step_dQ, rows, keys, nI, False,
            )  # fmt: skip


_attend = Kernel(attend, globals(), {"pairs": 1}, threshold=_THRESHOLD)
_backprop_attend = Kernel(backprop_attend, globals(), {"pairs": 1}, threshold=_THRESHOLD)


def attention(
    Q: Any, K: Any, V: Any, lengths: Any, kv_lengths: Any, mask: Any,
    *, scale: float, causal: bool, longest: int, longest_keys: int,
) -> tuple[Any, Any]:  # fmt: skip
    rows, heads, nI = Q.shape
    Y, logsumexp = floats((rows, heads, V.shape[2])), floats((rows, heads))
    if rows:
        pairs, *layout = _layout(heads, lengths, kv_lengths, mask)
        _attend.run(
            len(pairs), pairs, heads, *spread(Q), *spread(K), *spread(V), *layout, scale, causal, longest_keys,
            nI, Y, logsumexp,
        )  # fmt: skip
    return Y, logsumexp


def backprop_attention(
    dY: Any, Q: Any, K: Any, V: Any, Y: Any, logsumexp: Any, lengths: Any, kv_lengths: Any, mask: Any,
    *, scale: float, causal: bool, longest: int, longest_keys: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    dQ, dK, dV = floats(Q.shape), floats(K.shape), floats(V.shape)
    if Q.size or K.size:
        pairs, *layout = _layout(Q.shape[1], lengths, kv_lengths, mask)
        _backprop_attend.run(
            len(pairs), pairs, Q.shape[1], *spread(dY), *spread(Q), *spread(K), *spread(V), *spread(Y),
            matrix(logsumexp), *layout, scale, causal, longest_keys, Q.shape[2], V.shape[2], *spread(dQ),
            *spread(dK), *spread(dV),
        )  # fmt: skip
    return dQ, dK, dV


def _layout(heads: int, lengths: Any, kv_lengths: Any, mask: Any) -> tuple[Any, Any, Any, Any]:
    """Each sequence with each head, where queries and keys start, and what may be seen."""
    pairs, starts = np.arange(len(lengths) * heads, dtype=_PLACE), starts_of(lengths)
    key_starts = starts if kv_lengths is None else starts_of(kv_lengths)
    return pairs, starts, key_starts, _NO_MASK if mask is None else matrix(mask)


ATTENTION: Mapping[str, Callable[..., Any]] = {
    "attention": attention,
    "backprop_attention": backprop_attention,
}
