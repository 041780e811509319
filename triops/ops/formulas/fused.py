"""An affine map with what follows it. Alone, each has a formula of its own."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.linear import affine
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
    xp: Any, dY: Any, X: Any, W: Any, saved: Any, *, activation: str, settings: tuple[tuple[str, float], ...]
) -> tuple[Any, Any, Any]:
    dZ = FORMULAS[f"backprop_{activation}"](xp, dY, saved, **dict(settings))
    return xp.matmul(dZ, W), xp.matmul(dZ.T, X), xp.sum(dZ, axis=0)


@formula
def affine_maxout(xp: Any, X: Any, W: Any, b: Any) -> tuple[Any, Any]:
    nO, nP, nI = W.shape
    Z = affine(xp, X, W.reshape((nO * nP, nI)), b.reshape((nO * nP,)))
    return maxout(xp, Z.reshape((X.shape[0], nO, nP)))


@formula
def backprop_affine_maxout(xp: Any, dY: Any, X: Any, W: Any, which: Any) -> tuple[Any, Any, Any]:
    nO, nP, nI = W.shape
    pieces = backprop_maxout(xp, dY, which, P=nP)
    dZ = pieces.reshape((dY.shape[0], nO * nP))
    return xp.matmul(dZ, W.reshape((nO * nP, nI))), xp.matmul(dZ.T, X).reshape(W.shape), xp.sum(pieces, axis=0)
