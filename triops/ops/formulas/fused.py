"""An affine map with what follows it. Alone, each has a formula of its own."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.linear import affine, backprop_affine
from triops.ops.formulas.maxout import backprop_maxout, maxout
from triops.ops.formulas.registry import FORMULAS, formula


@formula
def affine_activation(
    xp: Any,
    X: Any,
    W: Any,
    b: Any,
    *,
    activation: str,
    settings: tuple[tuple[str, float], ...],
    keeps_input: bool,
) -> tuple[Any, Any]:
    Z = affine(xp, X, W, b)
    Y = FORMULAS[activation](xp, Z, **dict(settings))
    return Y, Z if keeps_input else Y


@formula
def backprop_affine_activation(
    xp: Any,
    dY: Any,
    X: Any,
    W: Any,
    saved: Any,
    *,
    activation: str,
    settings: tuple[tuple[str, float], ...],
    wants_dX: bool,
) -> tuple[Any, Any, Any]:
    dZ = FORMULAS[f"backprop_{activation}"](xp, dY, saved, **dict(settings))
    return backprop_affine(xp, dZ, X, W, wants_dX=wants_dX)


@formula
def affine_maxout(xp: Any, X: Any, W: Any, b: Any) -> tuple[Any, Any]:
    nO, nP, nI = W.shape
    Z = affine(xp, X, W.reshape((nO * nP, nI)), b.reshape((nO * nP,)))
    return maxout(xp, Z.reshape((X.shape[0], nO, nP)))


@formula
def backprop_affine_maxout(
    xp: Any, dY: Any, X: Any, W: Any, which: Any, *, wants_dX: bool
) -> tuple[Any, Any, Any]:
    nO, nP, nI = W.shape
    dZ = backprop_maxout(xp, dY, which, P=nP).reshape((dY.shape[0], nO * nP))
    dX, dW, db = backprop_affine(xp, dZ, X, W.reshape((nO * nP, nI)), wants_dX=wants_dX)
    return dX, dW.reshape(W.shape), db.reshape((nO, nP))
