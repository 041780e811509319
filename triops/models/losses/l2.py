"""Squared distance."""

from __future__ import annotations

from typing import Any

from triops.models.losses.loss import Loss
from triops.types import Floats2d

__all__ = ["L2Distance"]


class L2Distance(Loss):
    """loss = ½ Σ (guesses - truths)² / N, grad = (guesses - truths) / N.

    guesses, truths: (N, nO) floats of one backend and dtype. normalize False leaves the division by N out.
    The gradient is Thinc's; the loss is the one that it is the gradient of.
    """

    def __init__(self, *, normalize: bool = True) -> None:
        self.normalize = normalize

    def __call__(self, guesses: Floats2d, truths: Floats2d) -> tuple[Floats2d, Any]:
        ops = self._checked_guesses(guesses)
        self._check_truths(ops, guesses, truths)
        difference: Any = (guesses - truths) * self._counted(ops, guesses)
        N = self._divisor(guesses)
        return difference / N, (difference * difference).sum() / (2 * N)
