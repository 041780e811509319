"""Losses: `grad, loss = loss_function(guesses, truths)`."""

from triops.models.losses.categorical import CategoricalCrossentropy, SequenceCategoricalCrossentropy
from triops.models.losses.cosine import CosineDistance
from triops.models.losses.l2 import L2Distance
from triops.models.losses.loss import Loss

__all__ = [
    "CategoricalCrossentropy",
    "CosineDistance",
    "L2Distance",
    "Loss",
    "SequenceCategoricalCrossentropy",
]
