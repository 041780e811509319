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
        losses, gradient = ops.cosine_distance(guesses, truths)
        if self.ignore_zeros:
            xp = ops.xp
            counted = xp.any(xp.abs(truths) > 0, axis=1)
            losses, gradient = xp.where(counted, losses, 0), xp.where(counted[:, None], gradient, 0)
        counted = self._counted(ops, guesses)
        if not isinstance(counted, int):
            losses, gradient = losses * counted[:, 0], gradient * counted
        N = self._divisor(guesses)
        return gradient / N, losses.sum() / N
