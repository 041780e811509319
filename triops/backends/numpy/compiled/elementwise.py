"""Activations, their gradients and a loss, one scalar function each; a loop is built around every one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from triops.backends.numpy.compiled.arrays import FLOAT, flat
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.counts import larger, smaller
from triops.backends.numpy.compiled.jit import inlined, within
from triops.backends.numpy.compiled.scalar import (
    F,
    erf,
    exp,
    expm1,
    keep_nan,
    log,
    sigmoid,
    softplus,
    tanh,
)
from triops.backends.numpy.written import written

__all__ = ["ELEMENTWISE", "FORMS", "LOOPS"]

_SQRT_HALF = F(math.sqrt(0.5))
_RSQRT_2PI = F(1.0 / math.sqrt(2.0 * math.pi))
_GELU_SCALE = F(math.sqrt(2.0 / math.pi))
_GELU_CUBE = F(0.044715)
_TINY = F(1e-8)
_STRAIGHT = F(20.0)  # beyond it tanh(softplus(x)) is 1 in float32
_FLAT = F(8.0)  # beyond it the gradient of gelu_approx is 0 or 1 in float32


@inlined
def relu(x: Any) -> Any:
    return keep_nan(x, larger(x, F(0)))


@inlined
def backprop_relu(dy: Any, y: Any) -> Any:
    return dy if y > F(0) else F(0)


@inlined
def backprop_sigmoid(dy: Any, y: Any) -> Any:
    return dy * y * (F(1) - y)


@inlined
def backprop_tanh(dy: Any, y: Any) -> Any:
    return dy * (F(1) - y * y)


@inlined
def clipped_linear(x: Any, slope: Any, offset: Any, low: Any, high: Any) -> Any:
    line = x * slope + offset
    return keep_nan(line, smaller(larger(line, low), high))


@inlined
def backprop_clipped_linear(dy: Any, x: Any, slope: Any, offset: Any, low: Any, high: Any) -> Any:
    line = x * slope + offset
    return dy * slope if (line > low) & (line < high) else F(0)


@inlined
def hard_swish(x: Any) -> Any:
    return x * smaller(larger(x * F(0.2) + F(0.5), F(0)), F(1))


@inlined
def backprop_hard_swish(dy: Any, x: Any) -> Any:
    inside = x * F(0.4) + F(0.5)
    return dy * (F(1) if x > F(2.5) else (F(0) if x < F(-2.5) else inside))


@inlined
def hard_swish_mobilenet(x: Any) -> Any:
    return x * (smaller(larger(x + F(3), F(0)), F(6)) * F(1 / 6))


@inlined
def backprop_hard_swish_mobilenet(dy: Any, x: Any) -> Any:
    inside = (x * F(2) + F(3)) * F(1 / 6)
    return dy * (F(1) if x > F(3) else (F(0) if x < F(-3) else inside))


@inlined
def swish(x: Any) -> Any:
    return x * sigmoid(x)


@inlined
def backprop_swish(dy: Any, x: Any) -> Any:
    share = sigmoid(x)
    return dy * (share + x * share * (F(1) - share))


@inlined
def dish(x: Any) -> Any:
    size = abs(x)
    large = size > F(1e18)
    root = size if large else np.sqrt(F(1) + x * x)
    below = F(1) / (root * (root + size))
    return F(0.5) * x * (below if x < F(0) else x / root + F(1))


@inlined
def backprop_dish(dy: Any, x: Any) -> Any:
    size = abs(x)
    root = size if size > F(1e18) else np.sqrt(F(1) + x * x)
    sine = x / root
    return dy * (F(0.5) + sine - F(0.5) * sine * sine * sine)


@inlined
def backprop_softplus(dy: Any, x: Any) -> Any:
    return dy * sigmoid(x)


@inlined
def mish(x: Any) -> Any:
    # tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2)
    e = exp(smaller(x, _STRAIGHT))
    n = e * (e + F(2))
    return keep_nan(x, x * (n / (n + F(2))))


@inlined
def backprop_mish(dy: Any, x: Any) -> Any:
    e = exp(smaller(x, _STRAIGHT))
    n = e * (e + F(2))
    below = F(1) / (n + F(2))
    slope = F(4) * (n + F(1)) * below * below
    # x - x is NaN for infinity, as the formula's ∞·0 is.
    dx = n * below + (x * (e / (e + F(1))) * slope if x < _STRAIGHT else x - x)
    return dy * keep_nan(x, dx)


@inlined
def gelu(x: Any) -> Any:
    return x * (F(0.5) + F(0.5) * erf(x * _SQRT_HALF))


@inlined
def backprop_gelu(dy: Any, x: Any) -> Any:
    cdf = F(0.5) + F(0.5) * erf(x * _SQRT_HALF)
    return dy * (cdf + x * (_RSQRT_2PI * exp(F(-0.5) * x * x)))


@inlined
def gelu_approx(x: Any) -> Any:
    return F(0.5) * x * (F(1) + tanh(_GELU_SCALE * (x + _GELU_CUBE * x * x * x)))


@inlined
def backprop_gelu_approx(dy: Any, x: Any) -> Any:
    z = smaller(larger(x, -_FLAT), _FLAT)
    u = _GELU_SCALE * (z + _GELU_CUBE * z * z * z)
    e = expm1(F(2) * abs(u))
    below = F(1) / (e + F(2))
    t = e * below
    flatness = F(4) * (e + F(1)) * below * below  # 1 - t², with all its digits
    slope = _GELU_SCALE * (F(1) + F(3) * _GELU_CUBE * z * z)
    cdf = F(0.5) + F(0.5) * (t if u > F(0) else -t)
    return dy * keep_nan(x, cdf + F(0.5) * z * flatness * slope)


@inlined
def elu(x: Any, alpha: Any) -> Any:
    return keep_nan(x, x if x > F(0) else alpha * expm1(smaller(x, F(0))))


@inlined
def backprop_elu(dy: Any, y: Any, alpha: Any) -> Any:
    return dy * (F(1) if y > F(0) else y + alpha)


@inlined
def add(x: Any, y: Any) -> Any:
    return x + y


@inlined
def logloss(t: Any, p: Any) -> Any:
    within()
    return -(t * log(p + _TINY) + (F(1) - t) * log((F(1) - p) + _TINY))


class _Form(NamedTuple):
    function: Any
    arrays: tuple[str, ...]
    settings: tuple[str, ...] = ()
    light: bool = False


_X, _DY = ("X",), ("dY", "saved")
_LINE = ("slope", "offset", "min_val", "max_val")
FORMS = {
    "add": _Form(add, ("X", "Y"), light=True),
    "relu": _Form(relu, _X, light=True),
    "backprop_relu": _Form(backprop_relu, _DY, light=True),
    "sigmoid": _Form(sigmoid, _X),
    "backprop_sigmoid": _Form(backprop_sigmoid, _DY, light=True),
    "tanh": _Form(tanh, _X),
    "backprop_tanh": _Form(backprop_tanh, _DY, light=True),
    "erf": _Form(erf, _X),
    "clipped_linear": _Form(clipped_linear, _X, _LINE, light=True),
    "backprop_clipped_linear": _Form(backprop_clipped_linear, _DY, _LINE, light=True),
    "hard_swish": _Form(hard_swish, _X, light=True),
    "backprop_hard_swish": _Form(backprop_hard_swish, _DY, light=True),
    "hard_swish_mobilenet": _Form(hard_swish_mobilenet, _X, light=True),
    "backprop_hard_swish_mobilenet": _Form(backprop_hard_swish_mobilenet, _DY, light=True),
    "swish": _Form(swish, _X),
    "backprop_swish": _Form(backprop_swish, _DY),
    "dish": _Form(dish, _X),
    "backprop_dish": _Form(backprop_dish, _DY),
    "softplus": _Form(softplus, _X),
    "backprop_softplus": _Form(backprop_softplus, _DY),
    "mish": _Form(mish, _X),
    "backprop_mish": _Form(backprop_mish, _DY),
    "gelu": _Form(gelu, _X),
    "backprop_gelu": _Form(backprop_gelu, _DY),
    "gelu_approx": _Form(gelu_approx, _X),
    "backprop_gelu_approx": _Form(backprop_gelu_approx, _DY),
    "elu": _Form(elu, _X, ("alpha",)),
    "backprop_elu": _Form(backprop_elu, _DY, ("alpha",)),
    "logloss": _Form(logloss, ("y_true", "y_pred")),
}

_THRESHOLD = 16_384  # entries from which a second thread pays
_LIGHT_THRESHOLD = 131_072  # where memory takes longer than arithmetic


def _loop(name: str, form: _Form) -> Kernel:
    entries = [f"{array}[i]" for array in form.arrays]
    source = (
        f"def kernel({', '.join((*form.arrays, 'out', *form.settings))}):\n"
        f"    for i in range(out.size):\n"
        f"        out[i] = function({', '.join((*entries, *form.settings))})\n"
    )
    sliced = dict.fromkeys((*form.arrays, "out"), 1)
    threshold = _LIGHT_THRESHOLD if form.light else _THRESHOLD
    return Kernel((name, source), {"function": form.function}, sliced, threshold=threshold)


def _elementwise(form: _Form, kernel: Kernel) -> Callable[..., Any]:
    head = ", ".join((*form.arrays, *(("*", *form.settings) if form.settings else ())))
    # `flat` and `floats`, without a call of a function.
    flat_ones = [f"{array}.ravel() if {array}.flags.carray else flat({array})" for array in form.arrays]
    given = ", ".join((*flat_ones, "out.ravel()", *form.settings))
    return written(
        f"def call({head}):\n"
        f"    out = empty({form.arrays[0]}.shape, float32)\n"
        f"    kernel.run(out.size, {given})\n"
        f"    return out\n",
        {"kernel": kernel, "flat": flat, "empty": np.empty, "float32": FLOAT},
    )


LOOPS = {name: _loop(name, form) for name, form in FORMS.items()}
ELEMENTWISE = {name: _elementwise(form, LOOPS[name]) for name, form in FORMS.items()}
