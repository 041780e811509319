"""Elementwise activations, on arrays of any shape. Each gradient says whether
it reads the input X or the output Y of the forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from triops.errors import ArgumentError
from triops.ops.base import OpsBase
from triops.types import FloatsXd

__all__ = ["GRADIENT_READS", "ActivationOps", "form_of"]

GRADIENT_READS: Mapping[str, Literal["X", "Y"]] = {
    "sigmoid": "Y",
    "tanh": "Y",
    "relu": "Y",
    "relu_k": "X",
    "clipped_linear": "X",
    "hard_sigmoid": "X",
    "hard_tanh": "X",
    "hard_swish": "X",
    "hard_swish_mobilenet": "X",
    "swish": "X",
    "dish": "X",
    "mish": "X",
    "gelu": "X",
    "gelu_approx": "X",
    "elu": "Y",
    "softplus": "X",
}


# What activations take beside their array, and what is fixed in those that are a line between two bounds.
_SETTINGS: Mapping[str, Mapping[str, float]] = {
    "elu": {"alpha": 1.0},
    "relu_k": {"n": 6.0},
    "clipped_linear": {"slope": 1.0, "offset": 0.0, "min_val": 0.0, "max_val": 1.0},
}
_LINES: Mapping[str, Mapping[str, float]] = {
    "clipped_linear": {},
    "relu_k": {},
    "hard_sigmoid": {"slope": 0.2, "offset": 0.5},
    "hard_tanh": {"min_val": -1.0},
}


class ActivationOps(OpsBase):
    """Activations and their gradients. X, Y, dY and the results have one shape, any shape."""

    def erf(self, X: FloatsXd) -> FloatsXd:
        """Y = 2/√π ∫₀ˣ exp(-t²) dt, to the last digits of the dtype."""
        return self._forward("erf", X)

    def sigmoid(self, X: FloatsXd) -> FloatsXd:
        """Y = 1 / (1 + exp(-X)), without Thinc's clipping at ±20."""
        return self._forward("sigmoid", X)

    def backprop_sigmoid(self, dY: FloatsXd, Y: FloatsXd) -> FloatsXd:
        """dX = dY Y (1 - Y)."""
        return self._backward("backprop_sigmoid", "dY Y", dY, Y)

    def tanh(self, X: FloatsXd) -> FloatsXd:
        """Y = tanh X."""
        return self._forward("tanh", X)

    def backprop_tanh(self, dY: FloatsXd, Y: FloatsXd) -> FloatsXd:
        """dX = dY (1 - Y²)."""
        return self._backward("backprop_tanh", "dY Y", dY, Y)

    def relu(self, X: FloatsXd) -> FloatsXd:
        """Y = max(X, 0). Nair and Hinton 2010, Rectified Linear Units."""
        return self._forward("relu", X)

    def backprop_relu(self, dY: FloatsXd, Y: FloatsXd) -> FloatsXd:
        """dX = dY where Y > 0, else 0."""
        return self._backward("backprop_relu", "dY Y", dY, Y)

    def hard_swish(self, X: FloatsXd) -> FloatsXd:
        """Y = X clip(0.2 X + 0.5, 0, 1). Avenash and Viswanath 2019, Semantic Segmentation of Satellite
        Images using a Modified CNN with Hard-Swish Activation Function."""
        return self._forward("hard_swish", X)

    def backprop_hard_swish(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """dX = dY (0.4 X + 0.5) for |X| ≤ 2.5, dY above, 0 below."""
        return self._backward("backprop_hard_swish", "dY X", dY, X)

    def hard_swish_mobilenet(self, X: FloatsXd) -> FloatsXd:
        """Y = X clip(X + 3, 0, 6) / 6. Howard et al. 2019, Searching for MobileNetV3."""
        return self._forward("hard_swish_mobilenet", X)

    def backprop_hard_swish_mobilenet(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """dX = dY (2 X + 3)/6 for |X| ≤ 3, dY above, 0 below."""
        return self._backward("backprop_hard_swish_mobilenet", "dY X", dY, X)

    def swish(self, X: FloatsXd) -> FloatsXd:
        """Y = X σ(X), also called SiLU. Ramachandran et al. 2017, Searching for Activation Functions."""
        return self._forward("swish", X)

    def backprop_swish(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """dX = dY (σ(X) + X σ(X) (1 - σ(X)))."""
        return self._backward("backprop_swish", "dY X", dY, X)

    def dish(self, X: FloatsXd) -> FloatsXd:
        """Y = X/2 (X/√(1+X²) + 1), an algebraic likeness of swish and mish (from Thinc)."""
        return self._forward("dish", X)

    def backprop_dish(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """dX = dY (1/2 + s - s³/2), s = X/√(1+X²)."""
        return self._backward("backprop_dish", "dY X", dY, X)

    def mish(self, X: FloatsXd) -> FloatsXd:
        """Y = X tanh(log(1 + exp X)), with no threshold. Misra 2019, Mish."""
        return self._forward("mish", X)

    def backprop_mish(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """dX = dY (t + X σ(X) (1 - t²)), t = tanh(log(1 + exp X))."""
        return self._backward("backprop_mish", "dY X", dY, X)

    def gelu(self, X: FloatsXd) -> FloatsXd:
        """Y = X Φ(X), Φ the normal distribution function, by erf. Hendrycks and Gimpel 2016, GELUs."""
        return self._forward("gelu", X)

    def backprop_gelu(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """dX = dY (Φ(X) + X φ(X)), φ the normal density."""
        return self._backward("backprop_gelu", "dY X", dY, X)

    def gelu_approx(self, X: FloatsXd) -> FloatsXd:
        """Y = X/2 (1 + tanh(√(2/π) (X + 0.044715 X³))). Hendrycks and Gimpel 2016, GELUs."""
        return self._forward("gelu_approx", X)

    def backprop_gelu_approx(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """The exact gradient of `gelu_approx`: dX = dY (1/2 + t/2 + X/2 (1 - t²) u), with u the derivative of
        tanh's argument and t the tanh."""
        return self._backward("backprop_gelu_approx", "dY X", dY, X)

    def softplus(self, X: FloatsXd) -> FloatsXd:
        """Y = log(1 + exp X), without overflow."""
        return self._forward("softplus", X)

    def backprop_softplus(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """dX = dY σ(X)."""
        return self._backward("backprop_softplus", "dY X", dY, X)

    def elu(self, X: FloatsXd, alpha: float = 1.0) -> FloatsXd:
        """Y = X where X > 0, else alpha (exp X - 1). Clevert et al. 2016, ELUs."""
        return self._forward("elu", X, alpha=float(alpha))

    def backprop_elu(self, dY: FloatsXd, Y: FloatsXd, alpha: float = 1.0) -> FloatsXd:
        """dX = dY where Y > 0, else dY (Y + alpha)."""
        return self._backward("backprop_elu", "dY Y", dY, Y, alpha=float(alpha))

    def clipped_linear(
        self,
        X: FloatsXd,
        slope: float = 1.0,
        offset: float = 0.0,
        min_val: float = 0.0,
        max_val: float = 1.0,
    ) -> FloatsXd:
        """Y = clip(slope X + offset, min_val, max_val)."""
        return self._clip("clipped_linear", X, slope, offset, min_val, max_val)

    def backprop_clipped_linear(
        self,
        dY: FloatsXd,
        X: FloatsXd,
        slope: float = 1.0,
        offset: float = 0.0,
        min_val: float = 0.0,
        max_val: float = 1.0,
    ) -> FloatsXd:
        """dX = slope dY where slope X + offset is strictly between the two bounds, else 0."""
        return self._backprop_clip("backprop_clipped_linear", dY, X, slope, offset, min_val, max_val)

    def relu_k(self, X: FloatsXd, n: float = 6.0) -> FloatsXd:
        """Y = clip(X, 0, n). Krizhevsky 2010, Convolutional Deep Belief Networks on CIFAR-10."""
        return self._clip("relu_k", X, 1.0, 0.0, 0.0, n)

    def backprop_relu_k(self, dY: FloatsXd, X: FloatsXd, n: float = 6.0) -> FloatsXd:
        """dX = dY where 0 < X < n, else 0."""
        return self._backprop_clip("backprop_relu_k", dY, X, 1.0, 0.0, 0.0, n)

    def hard_sigmoid(self, X: FloatsXd) -> FloatsXd:
        """Y = clip(0.2 X + 0.5, 0, 1)."""
        return self._clip("hard_sigmoid", X, 0.2, 0.5, 0.0, 1.0)

    def backprop_hard_sigmoid(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """dX = 0.2 dY where |X| < 2.5, else 0."""
        return self._backprop_clip("backprop_hard_sigmoid", dY, X, 0.2, 0.5, 0.0, 1.0)

    def hard_tanh(self, X: FloatsXd) -> FloatsXd:
        """Y = clip(X, -1, 1)."""
        return self._clip("hard_tanh", X, 1.0, 0.0, -1.0, 1.0)

    def backprop_hard_tanh(self, dY: FloatsXd, X: FloatsXd) -> FloatsXd:
        """dX = dY where |X| < 1, else 0."""
        return self._backprop_clip("backprop_hard_tanh", dY, X, 1.0, 0.0, -1.0, 1.0)

    def _clip(
        self, op: str, X: FloatsXd, slope: float, offset: float, min_val: float, max_val: float
    ) -> FloatsXd:
        self._floats(op, "X", X)
        _check_bounds(op, min_val, max_val)
        Y: FloatsXd = self._kernels["clipped_linear"](
            X, slope=float(slope), offset=float(offset), min_val=float(min_val), max_val=float(max_val)
        )
        return Y

    def _backprop_clip(
        self, op: str, dY: FloatsXd, X: FloatsXd, slope: float, offset: float, min_val: float, max_val: float
    ) -> FloatsXd:
        self._with_saved(op, "dY X", dY, X)
        _check_bounds(op, min_val, max_val)
        dX: FloatsXd = self._kernels["backprop_clipped_linear"](
            dY, X, slope=float(slope), offset=float(offset), min_val=float(min_val), max_val=float(max_val)
        )
        return dX

    def _forward(self, op: str, X: FloatsXd, **settings: float) -> FloatsXd:
        self._floats(op, "X", X)
        Y: FloatsXd = self._kernels[op](X, **settings) if settings else self._kernels[op](X)
        return Y

    def _backward(self, op: str, names: str, dY: FloatsXd, saved: FloatsXd, **settings: float) -> FloatsXd:
        self._with_saved(op, names, dY, saved)
        kernel = self._kernels[op]
        dX: FloatsXd = kernel(dY, saved, **settings) if settings else kernel(dY, saved)
        return dX

    def _with_saved(self, op: str, names: str, dY: FloatsXd, saved: FloatsXd) -> None:
        self._floats(op, names, dY, saved)
        if saved.shape != dY.shape:
            self._shape(op, names.split()[1], saved, dY.shape, "as dY")


def form_of(op: str, activation: str, settings: Mapping[str, float]) -> tuple[str, tuple[tuple[str, float], ...]]:
    """The kernel that computes an activation, and the numbers that it takes, by name."""
    return _form_of(op, activation, *settings.items())


@lru_cache(maxsize=256)
def _form_of(op: str, activation: str, *items: tuple[str, float]) -> tuple[str, tuple[tuple[str, float], ...]]:
    settings = dict(items)
    if activation not in GRADIENT_READS:
        raise ArgumentError(f"{op}: activation must be one of {', '.join(GRADIENT_READS)}, got {activation!r}")
    known = _SETTINGS.get(activation, {})
    if unknown := settings.keys() - known.keys():
        raise ArgumentError(f"{op}: {activation} takes {', '.join(known) or 'no settings'}, got {min(unknown)}")
    given = {**known, **settings}
    if activation == "relu_k":
        given = {"max_val": given["n"]}
    if activation in _LINES:
        return "clipped_linear", tuple(_line(op, **_LINES[activation], **given).items())
    return activation, tuple((name, float(value)) for name, value in given.items())


def _line(
    op: str, slope: float = 1.0, offset: float = 0.0, min_val: float = 0.0, max_val: float = 1.0
) -> dict[str, float]:
    _check_bounds(op, min_val, max_val)
    return {
        "slope": float(slope),
        "offset": float(offset),
        "min_val": float(min_val),
        "max_val": float(max_val),
    }


def _check_bounds(op: str, min_val: float, max_val: float) -> None:
    if not min_val <= max_val:
        raise ArgumentError(f"{op}: min_val must not be above max_val, got {min_val} and {max_val}")
