"""Attention, and softmax down the rows of sequences. Ours reads rows one after another; PyTorch and JAX read them
padded, with a mask, and get both so, that nobody's time has another's packing in it."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.ops.case import Peers

__all__ = ["ATTENTION"]


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


ATTENTION: dict[str, Peers] = {
    "attention": Peers(
        torch=lambda t, Q, K, V, lengths, q, k, v, mask: t.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask
        ),
        jax=lambda j, Q, K, V, lengths, q, k, v, mask: _jax_attention(j, q, k, v, mask),
    ),
    "backprop_attention": Peers(
        torch=lambda t, Q, K, V, lengths, q, k, v, mask, dY, Y, logsumexp, dy, y, logs: _torch_gradients(
            t, dy, q, k, v, y, logs, mask
        ),
        jax=lambda j, Q, K, V, lengths, q, k, v, mask, dY, Y, logsumexp, dy, y, logs: _jax_gradients(
            j, dy, q, k, v, mask
        ),
    ),
    "softmax_sequences": Peers(
        thinc=lambda ops, X, lengths: ops.softmax_sequences(X, lengths),
        jax=_jax_softmax_sequences,
    ),
    "backprop_softmax_sequences": Peers(
        thinc=lambda ops, dY, Y, lengths: ops.backprop_softmax_sequences(dY, Y, lengths),
        jax=_jax_backprop_softmax_sequences,
    ),
}
