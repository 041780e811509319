"""Attention, and softmax down the rows of sequences. Ours reads rows one after another; PyTorch and JAX read them
padded, with a mask, and get both so, that nobody's time has another's packing in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.ops.case import Case, compare_arrays, floats

__all__ = ["ATTENTION"]

# Sequences, the longest, heads, and the width of each.
_SHAPES = {"small": [(4, 20, 4, 32)], "typical": [(64, 60, 4, 32)], "large": [(8, 512, 4, 32)]}
_SEQUENCES = {"small": [(4, 20, 96)], "typical": [(64, 60, 96)], "large": [(512, 60, 288)]}


def _lengths(count: int, longest: int) -> Any:
    """From a twelfth of the longest on; one has it."""
    lengths = np.random.default_rng(0).integers(max(1, longest // 12), longest + 1, count)
    lengths[0] = longest
    return lengths


def _there(count: int, longest: int) -> Any:
    return np.arange(longest) < _lengths(count, longest)[:, None]


def _side_by_side(rows: Any, there: Any) -> Any:
    """(sequences, heads, longest, width)."""
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
        pairs = [(np.swapaxes(result, 1, 2)[there], reference) for result, reference in pairs]
    return compare_arrays(*zip(*pairs, strict=True))


def _pairs(count: int, longest: int, heads: int, width: int) -> int:
    return int((_lengths(count, longest) ** 2).sum()) * heads * width


def _jax_attention(j: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    scores = j.numpy.where(mask, q @ j.numpy.swapaxes(k, 2, 3) / math.sqrt(q.shape[3]), -math.inf)
    return j.nn.softmax(scores) @ v


def _jax_gradients(j: Any, dy: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    return j.vjp(lambda q, k, v: _jax_attention(j, q, k, v, mask), q, k, v)[1](dy)


def _torch_gradients(t: Any, dy: Any, q: Any, k: Any, v: Any, y: Any, logs: Any, mask: Any) -> Any:
    """What autograd runs for PyTorch's fastest attention on a CPU."""
    settings = {"attn_mask": t.where(mask, 0.0, -math.inf).expand(-1, 1, q.shape[2], -1)}
    return t.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        dy, q, k, v, y, logs, 0.0, False, **settings
    )


def _sequences(count: int, longest: int, width: int) -> list[Any]:
    lengths = _lengths(count, longest).astype("int32")
    return [floats(int(lengths.sum()), width), lengths]


def _sequences_softmaxed(*shape: int) -> list[Any]:
    X, lengths = _sequences(*shape)
    starts = np.cumsum(lengths) - lengths
    exps = np.exp(X)
    return [
        floats(*X.shape, seed=1),
        exps / np.repeat(np.add.reduceat(exps, starts, axis=0), lengths, axis=0),
        lengths,
    ]


def _jax_softmax_sequences(j: Any, X: Any, lengths: Any) -> Any:
    segments, count = _jax_segments(j, lengths, X.shape[0])
    exps = j.numpy.exp(X - j.ops.segment_max(X, segments, count)[segments])
    return exps / j.ops.segment_sum(exps, segments, count)[segments]


def _jax_backprop_softmax_sequences(j: Any, dY: Any, Y: Any, lengths: Any) -> Any:
    segments, count = _jax_segments(j, lengths, Y.shape[0])
    return Y * (dY - j.ops.segment_sum(Y * dY, segments, count)[segments])


def _jax_segments(j: Any, lengths: Any, rows: int) -> tuple[Any, int]:
    count = lengths.shape[0]
    return j.numpy.repeat(j.numpy.arange(count), lengths, total_repeat_length=rows), count


ATTENTION = (
    Case(
        "attention",
        _SHAPES,
        _attended,
        triops=lambda ops, Q, K, V, lengths, *padded: ops.attention(Q, K, V, lengths),
        torch=lambda t, Q, K, V, lengths, q, k, v, mask: t.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask
        ),
        jax=lambda j, Q, K, V, lengths, q, k, v, mask: _jax_attention(j, q, k, v, mask),
        flops=lambda *shape: 4 * _pairs(*shape),
        reads=(0, 1, 2, 3),
        compare=_compare_rows,
    ),
    Case(
        "backprop_attention",
        _SHAPES,
        _with_gradient,
        triops=lambda ops, Q, K, V, lengths, q, k, v, mask, dY, Y, logs, *padded: ops.backprop_attention(
            dY, Q, K, V, Y, logs, lengths
        ),
        torch=lambda t, Q, K, V, lengths, q, k, v, mask, dY, Y, logsumexp, dy, y, logs: _torch_gradients(
            t, dy, q, k, v, y, logs, mask
        ),
        jax=lambda j, Q, K, V, lengths, q, k, v, mask, dY, Y, logsumexp, dy, y, logs: _jax_gradients(
            j, dy, q, k, v, mask
        ),
        flops=lambda *shape: 10 * _pairs(*shape),
        reads=(0, 1, 2, 3, 8, 9, 10),
        compare=_compare_rows,
    ),
    Case(
        "softmax_sequences",
        _SEQUENCES,
        _sequences,
        triops=lambda ops, X, lengths: ops.softmax_sequences(X, lengths),
        thinc=lambda ops, X, lengths: ops.softmax_sequences(X, lengths),
        jax=_jax_softmax_sequences,
        flops=lambda count, longest, width: 21 * int(_lengths(count, longest).sum()) * width,
    ),
    Case(
        "backprop_softmax_sequences",
        _SEQUENCES,
        _sequences_softmaxed,
        triops=lambda ops, dY, Y, lengths: ops.backprop_softmax_sequences(dY, Y, lengths),
        thinc=lambda ops, dY, Y, lengths: ops.backprop_softmax_sequences(dY, Y, lengths),
        jax=_jax_backprop_softmax_sequences,
        flops=lambda count, longest, width: 4 * int(_lengths(count, longest).sum()) * width,
    ),
)
