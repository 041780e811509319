"""Normalisation of rows."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula


@formula
def layer_norm(xp: Any, X: Any, G: Any, b: Any, *, eps: float) -> tuple[Any, Any, Any]:
    mu = xp.mean(X, axis=-1, keepdims=True)
    centred = X - mu
    rstd = 1.0 / xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + eps)
    return centred * rstd * G + b, mu, rstd


@formula
def backprop_layer_norm(xp: Any, dY: Any, X: Any, mu: Any, rstd: Any, G: Any) -> tuple[Any, Any, Any]:
    Xhat = (X - mu) * rstd
    dXhat = dY * G
    mean = xp.mean(dXhat, axis=-1, keepdims=True)
    mean_along = xp.mean(dXhat * Xhat, axis=-1, keepdims=True)
    rows = tuple(range(dY.ndim - 1))
    return (
        rstd * (dXhat - mean - Xhat * mean_along),
        xp.sum(dY * Xhat, axis=rows),
        xp.sum(dY, axis=rows),
    )


@formula
def rms_norm(xp: Any, X: Any, G: Any, *, eps: float) -> tuple[Any, Any]:
    rstd = 1.0 / xp.sqrt(xp.mean(X * X, axis=-1, keepdims=True) + eps)
    return X * rstd * G, rstd


@formula
def backprop_rms_norm(xp: Any, dY: Any, X: Any, rstd: Any, G: Any) -> tuple[Any, Any]:
    Xhat = X * rstd
    dXhat = dY * G
    mean_along = xp.mean(dXhat * Xhat, axis=-1, keepdims=True)
    return rstd * (dXhat - Xhat * mean_along), xp.sum(dY * Xhat, axis=tuple(range(dY.ndim - 1)))
