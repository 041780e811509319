"""Attention, and softmax down the rows of sequences. The inputs of attention are there twice: rows one after
another, which ours reads, and padded with a mask, for those that read them so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from triops.bench.cases.arrays import compare_arrays, floats, host
from triops.bench.cases.op import OpCase

__all__ = ["SEQUENCES"]

# Sequences, the longest, heads, and the width of each.
_SHAPES = {"small": [(4, 20, 4, 32)], "typical": [(64, 60, 4, 32)], "large": [(8, 512, 4, 32)]}
_ROWS = {"small": [(4, 20, 96)], "typical": [(64, 60, 96)], "large": [(512, 60, 288)]}


def _lengths(count: int, longest: int) -> Any:
    """From a twelfth of the longest on; one has it."""
    lengths = host().random.default_rng(0).integers(max(1, longest // 12), longest + 1, count)
    lengths[0] = longest
    return lengths


def _there(count: int, longest: int) -> Any:
    return host().arange(longest) < _lengths(count, longest)[:, None]


def _side_by_side(rows: Any, there: Any) -> Any:
    """(sequences, heads, longest, width)."""
    np = host()
    padded = np.zeros((*there.shape, *rows.shape[1:]), rows.dtype)
    padded[there] = rows
    return np.ascontiguousarray(np.swapaxes(padded, 1, 2))


def _attended(count: int, longest: int, heads: int, width: int) -> list[Any]:
    """Q, K, V and lengths; the same padded, and the mask."""
    lengths, there = _lengths(count, longest), _there(count, longest)
    rows = [floats(int(lengths.sum()), heads, width, seed=seed) for seed in range(3)]
    return [*rows, lengths, *(_side_by_side(row, there) for row in rows), there[:, None, None]]


def _with_gradient(*shape: int) -> list[Any]:
    """The same with dY, Y and logsumexp of both."""
    np = host()
    Q, K, V, lengths, q, k, v, mask = _attended(*shape)
    scores = np.where(mask, q @ np.swapaxes(k, 2, 3) / math.sqrt(shape[3]), -np.inf)
    top = scores.max(axis=-1, keepdims=True)
    exps = np.exp(scores - top)
    total = exps.sum(axis=-1, keepdims=True)
    y, logs = (exps / total @ v).astype("float32"), (top + np.log(total))[..., 0].astype("float32")
    there = mask[:, 0, 0]
    Y, logsumexp = np.swapaxes(y, 1, 2)[there], np.swapaxes(logs, 1, 2)[there]
    dY = floats(*Q.shape, seed=3)
    return [Q, K, V, lengths, q, k, v, mask, dY, Y, logsumexp, _side_by_side(dY, there), y, logs]


def _compare_rows(results: Sequence[Any], references: Sequence[Any]) -> float:
    """Without the rows that only padding has."""
    pairs = list(zip(results, references, strict=False))
    if results[0].ndim == 4:
        count, _, longest, _ = results[0].shape
        there = _there(count, longest)
        pairs = [(host().swapaxes(result, 1, 2)[there], reference) for result, reference in pairs]
    return compare_arrays(*zip(*pairs, strict=True))


def _pairs(count: int, longest: int, heads: int, width: int) -> int:
    return int((_lengths(count, longest) ** 2).sum()) * heads * width


def _sequences(count: int, longest: int, width: int) -> list[Any]:
    lengths = _lengths(count, longest).astype("int32")
    return [floats(int(lengths.sum()), width), lengths]


def _sequences_softmaxed(*shape: int) -> list[Any]:
    np = host()
    X, lengths = _sequences(*shape)
    starts = np.cumsum(lengths) - lengths
    exps = np.exp(X)
    return [
        floats(*X.shape, seed=1),
        exps / np.repeat(np.add.reduceat(exps, starts, axis=0), lengths, axis=0),
        lengths,
    ]


SEQUENCES = (
    OpCase(
        "attention",
        _SHAPES,
        _attended,
        lambda ops, Q, K, V, lengths, *padded: ops.attention(Q, K, V, lengths),
        flops=lambda *shape: 4 * _pairs(*shape),
        reads=(0, 1, 2, 3),
        compare=_compare_rows,
    ),
    OpCase(
        "backprop_attention",
        _SHAPES,
        _with_gradient,
        lambda ops, Q, K, V, lengths, q, k, v, mask, dY, Y, logs, *padded: ops.backprop_attention(
            dY, Q, K, V, Y, logs, lengths
        ),
        flops=lambda *shape: 10 * _pairs(*shape),
        reads=(0, 1, 2, 3, 8, 9, 10),
        compare=_compare_rows,
    ),
    OpCase(
        "softmax_sequences",
        _ROWS,
        _sequences,
        lambda ops, X, lengths: ops.softmax_sequences(X, lengths),
        flops=lambda count, longest, width: 21 * int(_lengths(count, longest).sum()) * width,
    ),
    OpCase(
        "backprop_softmax_sequences",
        _ROWS,
        _sequences_softmaxed,
        lambda ops, dY, Y, lengths: ops.backprop_softmax_sequences(dY, Y, lengths),
        flops=lambda count, longest, width: 4 * int(_lengths(count, longest).sum()) * width,
    ),
)
