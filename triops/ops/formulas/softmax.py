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
