"""The maximum of several pieces."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula


@formula
def maxout(xp: Any, X: Any) -> tuple[Any, Any]:
    best = X[..., 0]
    which = xp.zeros(best.shape, dtype="int32")
    for p in range(1, X.shape[-1]):
        piece = X[..., p]
        # A NaN wins, as it does in every namespace's own max.
        better = (piece > best) | ((piece != piece) & (best == best))
        best = xp.where(better, piece, best)
        which = xp.where(better, xp.asarray(p, dtype="int32"), which)
    return best, which


@formula
def backprop_maxout(xp: Any, dY: Any, which: Any, *, P: int) -> Any:
    return xp.where(which[..., None] == xp.arange(P, dtype="int32"), dY[..., None], 0)
