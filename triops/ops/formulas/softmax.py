"""Softmax, its logarithm, and the cross-entropy that starts from logits."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.reductions import reduce_max, spread, sums_of
from triops.ops.formulas.registry import formula
from triops.ops.formulas.segments import segments_of, sum_type


@formula
def softmax(xp: Any, X: Any, *, axis: int, temperature: float) -> Any:
    exps = xp.exp((X - xp.max(X, axis=axis, keepdims=True)) / temperature)
    return exps / xp.sum(exps, axis=axis, keepdims=True)


@formula
def backprop_softmax(xp: Any, dY: Any, Y: Any, *, axis: int, temperature: float) -> Any:
    weighted = Y * dY
    return (weighted - Y * xp.sum(weighted, axis=axis, keepdims=True)) / temperature


@formula
def softmax_sequences(xp: Any, Xs: Any, lengths: Any) -> Any:
    segments = segments_of(xp, lengths, Xs.shape[0])
    wide = Xs.astype(sum_type(Xs.dtype))
    exps = xp.exp(wide - spread(xp, reduce_max(xp, wide, lengths)[0], segments))
    totals = spread(xp, sums_of(xp, exps, lengths), segments)
    there = (segments < lengths.shape[0])[:, None]
    return xp.where(there, exps / xp.where(there, totals, 1), 0).astype(Xs.dtype)


@formula
def backprop_softmax_sequences(xp: Any, dY: Any, Y: Any, lengths: Any) -> Any:
    segments = segments_of(xp, lengths, dY.shape[0])
    dY, shares = dY.astype(sum_type(dY.dtype)), Y.astype(sum_type(Y.dtype))
    totals = spread(xp, sums_of(xp, shares * dY, lengths), segments)
    return (shares * (dY - totals)).astype(Y.dtype)


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
