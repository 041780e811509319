"""Functions of an array as layers without parameters."""

from __future__ import annotations

from typing import Any

from triops.models.model import Model
from triops.types import Backprop, FloatsXd

__all__ = ["Logistic", "noop", "sigmoid_activation", "softmax_activation"]


class sigmoid_activation(Model):
    """Y = 1 / (1 + exp(-X)). X, Y: any shape."""

    def begin_update(self, X: FloatsXd, drop: float | None = 0.0) -> tuple[FloatsXd, Backprop]:
        Y = self.ops.sigmoid(X)

        def backprop(dY: FloatsXd, sgd: Any = None) -> FloatsXd:
            return self.ops.backprop_sigmoid(dY, Y)

        return Y, backprop


class Logistic(sigmoid_activation):
    """Thinc's older name of `sigmoid_activation`."""


class softmax_activation(Model):
    """Y = softmax(X) along the last axis, with the softmax's own gradient. X, Y: any shape."""

    full_precision = True

    def begin_update(self, X: FloatsXd, drop: float | None = 0.0) -> tuple[FloatsXd, Backprop]:
        Y = self.ops.softmax(X)

        def backprop(dY: FloatsXd, sgd: Any = None) -> FloatsXd:
            return self.ops.backprop_softmax(Y, dY)

        return Y, backprop


class noop(Model):
    """Y = X, with the layers given inside, and neither called nor initialized here, as in Thinc."""

    def __init__(self, *layers: Model) -> None:
        super().__init__(layers=layers)

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        """The samples are none of theirs."""

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        return X, lambda dY, sgd=None: dY
