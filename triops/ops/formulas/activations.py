"""Elementwise activations and their gradients."""

from __future__ import annotations

import math
from typing import Any

from triops.ops.formulas.registry import formula
from triops.ops.formulas.special import erf

_SQRT_HALF = math.sqrt(0.5)
_RSQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_GELU_SCALE = math.sqrt(2.0 / math.pi)
_GELU_CUBE = 0.044715
_GELU_FLAT = 10.0  # tanh and 1 - tanh² are 1 and 0 there, in every dtype
_DENSITY_GONE = 40.0  # exp(-40²/2) is 0 in float64


@formula
def sigmoid(xp: Any, X: Any) -> Any:
    # exp of a negative number alone: it never overflows.
    z = xp.exp(-xp.abs(X))
    return xp.where(X >= 0, 1.0, z) / (1.0 + z)


@formula
def backprop_sigmoid(xp: Any, dY: Any, Y: Any) -> Any:
    return dY * Y * (1.0 - Y)


@formula
def tanh(xp: Any, X: Any) -> Any:
    return xp.tanh(X)


@formula
def backprop_tanh(xp: Any, dY: Any, Y: Any) -> Any:
    return dY * (1.0 - Y * Y)


@formula
def relu(xp: Any, X: Any) -> Any:
    return xp.maximum(X, 0)


@formula
def backprop_relu(xp: Any, dY: Any, Y: Any) -> Any:
    return xp.where(Y > 0, dY, 0)


@formula
def clipped_linear(xp: Any, X: Any, *, slope: float, offset: float, min_val: float, max_val: float) -> Any:
    return xp.clip(X * slope + offset, min_val, max_val)


@formula
def backprop_clipped_linear(
    xp: Any, dY: Any, X: Any, *, slope: float, offset: float, min_val: float, max_val: float
) -> Any:
    line = X * slope + offset
    return xp.where((line > min_val) & (line < max_val), dY * slope, 0)


@formula
def hard_swish(xp: Any, X: Any) -> Any:
    return X * xp.clip(X * 0.2 + 0.5, 0.0, 1.0)


@formula
def backprop_hard_swish(xp: Any, dY: Any, X: Any) -> Any:
    return dY * xp.where(X > 2.5, 1.0, xp.where(X < -2.5, 0.0, X * 0.4 + 0.5))


@formula
def hard_swish_mobilenet(xp: Any, X: Any) -> Any:
    return X * (xp.clip(X + 3.0, 0.0, 6.0) / 6.0)


@formula
def backprop_hard_swish_mobilenet(xp: Any, dY: Any, X: Any) -> Any:
    return dY * xp.where(X > 3.0, 1.0, xp.where(X < -3.0, 0.0, X / 3.0 + 0.5))


@formula
def swish(xp: Any, X: Any) -> Any:
    return X * sigmoid(xp, X)


@formula
def backprop_swish(xp: Any, dY: Any, X: Any) -> Any:
    share = sigmoid(xp, X)
    return dY * (share + X * share * (1.0 - share))


@formula
def dish(xp: Any, X: Any) -> Any:
    # For X < 0 the factor X/root + 1 is a difference of near equals: 1/(root (root - X)) is the same.
    root = xp.hypot(X, xp.ones_like(X))
    half = 0.5 * X
    return xp.where(X < 0, half / root / (root + xp.abs(X)), half * (X / root + 1.0))


@formula
def backprop_dish(xp: Any, dY: Any, X: Any) -> Any:
    sine = X / xp.hypot(X, xp.ones_like(X))
    return dY * (0.5 + sine - 0.5 * sine * sine * sine)


@formula
def softplus(xp: Any, X: Any) -> Any:
    return xp.maximum(X, 0) + xp.log1p(xp.exp(-xp.abs(X)))


@formula
def backprop_softplus(xp: Any, dY: Any, X: Any) -> Any:
    return dY * sigmoid(xp, X)


@formula
def mish(xp: Any, X: Any) -> Any:
    return X * xp.tanh(softplus(xp, X))


@formula
def backprop_mish(xp: Any, dY: Any, X: Any) -> Any:
    # By z alone, which never overflows: 1 - t² as a difference would lose its digits, and X makes them count.
    z = xp.exp(-xp.abs(X))
    above = X >= 0
    denominator = xp.where(above, 1.0 + 2.0 * z + 2.0 * z * z, z * z + 2.0 * z + 2.0)
    t = xp.where(above, 1.0 + 2.0 * z, z * (z + 2.0)) / denominator
    slope = 4.0 * (1.0 + z) * xp.where(above, z * z, z) / (denominator * denominator)  # σ(X) (1 - t²)
    return dY * (t + X * slope)


@formula
def gelu(xp: Any, X: Any) -> Any:
    return X * (0.5 + 0.5 * erf(xp, X * _SQRT_HALF))


@formula
def backprop_gelu(xp: Any, dY: Any, X: Any) -> Any:
    cdf = 0.5 + 0.5 * erf(xp, X * _SQRT_HALF)
    near = xp.clip(X, -_DENSITY_GONE, _DENSITY_GONE)
    pdf = _RSQRT_2PI * xp.exp(-0.5 * near * near)
    return dY * (cdf + X * pdf)


@formula
def gelu_approx(xp: Any, X: Any) -> Any:
    return 0.5 * X * (1.0 + xp.tanh(_gelu_inner(_gelu_range(xp, X))))


@formula
def backprop_gelu_approx(xp: Any, dY: Any, X: Any) -> Any:
    near = _gelu_range(xp, X)
    inner = _gelu_inner(near)
    slope = _GELU_SCALE * (1.0 + 3.0 * _GELU_CUBE * near * near)
    # 1 + tanh and 1 - tanh² lose their digits where tanh is near -1 or 1; by exp they keep them.
    z = xp.exp(-2.0 * xp.abs(inner))
    share = xp.where(inner >= 0, 1.0, z) / (1.0 + z)
    return dY * (share + 2.0 * near * slope * z / ((1.0 + z) * (1.0 + z)))


@formula
def elu(xp: Any, X: Any, *, alpha: float) -> Any:
    return xp.where(X > 0, X, alpha * xp.expm1(xp.minimum(X, 0)))


@formula
def backprop_elu(xp: Any, dY: Any, Y: Any, *, alpha: float) -> Any:
    return dY * xp.where(Y > 0, 1.0, Y + alpha)


def _gelu_range(xp: Any, X: Any) -> Any:
    """X as far as tanh still changes: the cube of more than that overflows."""
    return xp.clip(X, -_GELU_FLAT, _GELU_FLAT)


def _gelu_inner(X: Any) -> Any:
    return _GELU_SCALE * (X + _GELU_CUBE * X * X * X)
