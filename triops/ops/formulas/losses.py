"""Losses by row or entry, with their gradients."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula
from triops.ops.formulas.softmax import log_softmax


@formula
def cross_entropy(xp: Any, X: Any, T: Any) -> tuple[Any, Any]:
    logs = log_softmax(xp, X, axis=-1)
    # 0 log 0 is 0 in a cross-entropy, and NaN in floating point.
    losses = -xp.sum(xp.where(T == 0, 0, T * logs), axis=-1)
    return losses, xp.exp(logs) * xp.sum(T, axis=-1, keepdims=True) - T


@formula
def label_cross_entropy(xp: Any, Y: Any, labels: Any, scale: Any) -> tuple[Any, Any]:
    T = (labels[:, None] == xp.arange(Y.shape[1], dtype=labels.dtype)).astype(Y.dtype)
    chosen = xp.sum(xp.where(T == 1, Y, 0), axis=-1)
    return -xp.log(xp.maximum(chosen, xp.finfo(Y.dtype).tiny)), (Y - T) * scale


@formula
def logloss(xp: Any, y_true: Any, y_pred: Any) -> Any:
    # XLA turns (1 - p) + 1e-8 into (1 + 1e-8) - p, which is 0 in float32 for p = 1; it leaves a choice alone.
    rest = xp.where(y_pred == 1.0, 0.0, 1.0 - y_pred)
    return -(y_true * xp.log(y_pred + 1e-8) + (1.0 - y_true) * xp.log(rest + 1e-8))


@formula
def cosine_distance(xp: Any, X: Any, T: Any) -> tuple[Any, Any]:
    (x, length), (t, _) = (_direction(xp, array) for array in (X, T))
    directed = xp.any(x != 0, axis=-1, keepdims=True) & xp.any(t != 0, axis=-1, keepdims=True)
    cosine = xp.sum(x * t, axis=-1, keepdims=True)
    gradient = xp.where(directed, (cosine * x - t) / length, 0)
    return xp.where(directed, 1 - cosine, 1)[..., 0], gradient


def _direction(xp: Any, X: Any) -> tuple[Any, Any]:
    """The rows at length 1, and their lengths, 1 of a row of zeros."""
    # Squares of shares of the largest entry neither overflow nor vanish.
    top = xp.max(xp.abs(X), axis=-1, keepdims=True)
    largest = xp.where(top > 0, top, 1)
    shares = X / largest
    length = xp.sqrt(xp.sum(shares * shares, axis=-1, keepdims=True))
    filled = xp.where(top > 0, length, 1)
    return shares / filled, filled * largest
