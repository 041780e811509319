"""Cosine distance."""

from __future__ import annotations

from typing import Any

from triops.models.losses.loss import Loss
from triops.types import Floats2d

__all__ = ["CosineDistance"]


class CosineDistance(Loss):
    """loss = Σ (1 - cos) / N with cos = ŷ·y / (‖ŷ‖ ‖y‖) for each row, and its gradient
    (cos ŷ/‖ŷ‖² - y/(‖ŷ‖ ‖y‖)) / N.

    guesses ŷ, truths y: (N, nO) floats of one backend and dtype. A zero vector has no direction: its cosine is
    0 and its gradient too. ignore_zeros leaves rows whose truth is zero out of the loss. normalize False leaves
    the division by N out.
    """

    def __init__(self, *, normalize: bool = True, ignore_zeros: bool = False) -> None:
        self.normalize = normalize
        self.ignore_zeros = ignore_zeros

    def __call__(self, guesses: Floats2d, truths: Floats2d) -> tuple[Floats2d, Any]:
        ops = self._checked_guesses(guesses)
        self._check_truths(ops, guesses, truths)
        xp = ops.xp
        length, truth_length = _norms(xp, guesses), _norms(xp, truths)
        directed = (length > 0) & (truth_length > 0)
        inverse = xp.where(directed, 1.0 / xp.where(directed, length, 1), 0)
        truth_inverse = xp.where(directed, 1.0 / xp.where(directed, truth_length, 1), 0)
        unit, truth_unit = guesses * inverse, truths * truth_inverse
        cosine = (unit * truth_unit).sum(axis=1)[:, None]
        counted = (truth_length > 0) if self.ignore_zeros else xp.ones_like(directed)
        N = self._divisor(guesses)
        grad = (cosine * unit - truth_unit) * inverse / N
        return xp.where(counted, grad, 0), xp.where(counted, 1 - cosine, 0).sum() / N


def _norms(xp: Any, X: Floats2d) -> Any:
    return xp.sqrt((X * X).sum(axis=1))[:, None]
