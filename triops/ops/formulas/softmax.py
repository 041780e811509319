"""Softmax, its logarithm, and the cross-entropy that starts from logits."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula


@formula
def softmax(xp: Any, X: Any, *, axis: int, temperature: float) -> Any:
    exps = xp.exp((X - xp.max(X, axis=axis, keepdims=True)) / temperature)
    return exps / xp.sum(exps, axis=axis, keepdims=True)


@formula
def backprop_softmax(xp: Any, dY: Any, Y: Any, *, axis: int, temperature: float) -> Any:
    weighted = Y * dY
    return (weighted - Y * xp.sum(weighted, axis=axis, keepdims=True)) / temperature


@formula
def log_softmax(xp: Any, X: Any, *, axis: int) -> Any:
    shifted = X - xp.max(X, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


@formula
def backprop_log_softmax(xp: Any, dY: Any, Y: Any, *, axis: int) -> Any:
    return dY - xp.exp(Y) * xp.sum(dY, axis=axis, keepdims=True)


@formula
def cross_entropy(xp: Any, X: Any, T: Any) -> tuple[Any, Any]:
    logs = log_softmax(xp, X, axis=-1)
    # 0 log 0 is 0 in a cross-entropy, and NaN in floating point.
    losses = -xp.sum(xp.where(T == 0, 0, T * logs), axis=-1)
    return losses, xp.exp(logs) * xp.sum(T, axis=-1, keepdims=True) - T


@formula
def logloss(xp: Any, y_true: Any, y_pred: Any) -> Any:
    # XLA turns (1 - p) + 1e-8 into (1 + 1e-8) - p, which is 0 in float32 for p = 1; it leaves a choice alone.
    rest = xp.where(y_pred == 1.0, 0.0, 1.0 - y_pred)
    return -(y_true * xp.log(y_pred + 1e-8) + (1.0 - y_true) * xp.log(rest + 1e-8))
