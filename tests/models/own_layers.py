"""Layers as users write them. In a module of their own, since another process has to import them."""

from __future__ import annotations

from typing import Any

import numpy as np

from triops import Model, to_numpy
from triops.models import Dropout, Linear, Relu, one_init, residual

__all__ = [
    "Bare",
    "Block",
    "IgnoresSgd",
    "Memory",
    "Power",
    "Scale",
    "TwoLayers",
    "UsesSgd",
    "failing",
    "predictions",
]


class Scale(Model):
    """The template of `Model`'s docstring: Y = X W along rows, with a parameter that is declared."""

    def __init__(self, nI: int | None = None) -> None:
        super().__init__(dims={"nI": nI})
        self.add_param("W", ("nI",), one_init)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        W = self.get_param("W")

        def backprop(dY: Any, sgd: Any = None) -> Any:
            self.inc_grad("W", (dY * X).sum(axis=0))
            return dY * W

        return X * W, backprop


class Bare(Model):
    """No `super().__init__()`, a parameter that is set at once, and a callback of dY alone."""

    def __init__(self, width: int) -> None:
        self.set_param("b", self.ops.alloc((width,)) + 0.5)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        def backprop(dY: Any) -> Any:
            self.inc_grad("b", dY.sum(axis=0))
            return dY

        return X + self.get_param("b"), backprop


class IgnoresSgd(Scale):
    """Inherits everything: a subclass of a subclass."""


class UsesSgd(Scale):
    """Calls its base's callback, and passes on the `sgd` that it never gets."""

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        Y, base_backprop = super().begin_update(X, drop)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            return 2.0 * base_backprop(2.0 * dY, sgd) / 2.0

        return 2.0 * Y, backprop


class Power(Model):
    """A setting in attrs, no parameters, nothing declared."""

    def __init__(self, exponent: float = 2.0) -> None:
        super().__init__(attrs={"exponent": exponent})

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        exponent = self.attrs["exponent"]
        return X**exponent, lambda dY, sgd=None: dY * (exponent * X ** (exponent - 1))


class Memory(Model):
    """State between calls: how often it was trained, and a mean of its inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.set_state("mean", self.ops.alloc((width,)))

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        mean = self.get_state("mean")
        if drop is not None:
            self.set_state("calls", self.get_state("calls", 0) + 1)
            self.set_state("mean", 0.5 * mean + 0.5 * X.mean(axis=0))
        return X - mean, lambda dY, sgd=None: dY


class Block(Model):
    """A container with layers inside that it also reaches by attribute."""

    def __init__(self, width: int, nO: int) -> None:
        self.scale = Scale()
        self.hidden = residual(Relu(dropout=0.2))
        self.output = Linear(nO)
        super().__init__(
            "block", dims={"nI": width, "nO": nO}, layers=[self.scale, Dropout(), self.hidden, self.output]
        )

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        width = self.get_dim("nI")
        sample = self.ops.alloc((1, width)) if X is None else X
        super().initialize_layers(sample, None, seed)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        scaled, backprop_scale = self.scale.begin_update(X, drop)
        hidden, backprop_hidden = self.hidden.begin_update(scaled, drop)
        Y, backprop_output = self.output.begin_update(hidden, drop)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            return backprop_scale(backprop_hidden(backprop_output(dY, sgd), sgd), sgd)

        return Y, backprop


def predictions(model: Model, X: Any) -> Any:
    """What a worker process does with a model that it is sent."""
    return to_numpy(model.predict(model.ops.asarray(np.asarray(X))))


def failing(model: Model, X: Any) -> Any:
    """The same, with data of the wrong width."""
    return model.predict(model.ops.asarray(np.asarray(X)[:, 1:]))


class TwoLayers(Model):
    """Layers as attributes, as in PyTorch, with widths that do not follow from this model's own input."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = Relu(hidden, width)
        self.second = Linear(width, hidden)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        hidden, backprop_first = self.first.begin_update(X, drop)
        Y, backprop_second = self.second.begin_update(hidden, drop)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            return backprop_first(backprop_second(dY))

        return Y, backprop
