"""Matrix products, and sums."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula


@formula
def add(xp: Any, X: Any, Y: Any) -> Any:
    return X + Y


@formula
def gemm(xp: Any, X: Any, Y: Any, *, trans1: bool, trans2: bool) -> Any:
    return xp.matmul(X.T if trans1 else X, Y.T if trans2 else Y)


@formula
def affine(xp: Any, X: Any, W: Any, b: Any) -> Any:
    return xp.matmul(X, W.T) + b


@formula
def backprop_affine(xp: Any, dY: Any, X: Any, W: Any, *, wants_dX: bool) -> tuple[Any, Any, Any]:
    return xp.matmul(dY, W) if wants_dX else None, xp.matmul(dY.T, X), xp.sum(dY, axis=0)


@formula
def batched_gemm(xp: Any, X: Any, Y: Any, *, trans1: bool, trans2: bool) -> Any:
    return xp.matmul(xp.swapaxes(X, 1, 2) if trans1 else X, xp.swapaxes(Y, 1, 2) if trans2 else Y)
