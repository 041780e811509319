"""Activations: one row of formulas each, in Python numbers; a case for the op and one for its gradient come
from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any, Literal

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["ACTIVATIONS", "CASES", "Activation", "elementwise"]

GRID = (3, 7)

# Around every bend of every activation, where exp under- and overflows, and far beyond.
EXTREME = np.array(
    [[-1e30, 1e30, -88.0, 88.0, -20.5, 20.5, -10.0], [-6.0, -3.0, -2.5, -1.0, -1e-30, 0.0, 1e-30],
     [0.5, 1.0, 2.5, 3.0, 6.0, 9.0, 30.0]]
)  # fmt: skip
EXTREME_FLOAT64 = np.resize([-1e300, 1e300, -745.0, 745.0, -1e-300, 1e-300], GRID)
NONFINITE = np.resize([math.nan, math.inf, -math.inf, 0.5, -0.5], GRID)


@dataclass(frozen=True)
class Activation:
    """Y = forward(x), and dX = gradient(dy, x or y), for Python numbers."""

    forward: Callable[..., float]
    gradient: Callable[..., float]
    reads: Literal["X", "Y"]
    bends: tuple[float, ...] = ()
    settings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def sigma(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def log1pexp(x: float) -> float:
    return math.log1p(math.exp(x)) if x <= 0 else x + math.log1p(math.exp(-x))


def clip(x: float, lo: float, hi: float) -> float:
    return x if math.isnan(x) else min(max(x, lo), hi)


def dish(x: float) -> float:
    if not math.isfinite(x):
        return 0.5 * x * (x / math.hypot(1.0, x) + 1.0)
    with localcontext(prec=80):
        exact = Decimal(x)
        return float(exact / 2 * (exact / (1 + exact * exact).sqrt() + 1))


def backprop_dish(dy: float, x: float) -> float:
    s = x / math.hypot(1.0, x)
    return dy * (0.5 + s - 0.5 * s * s * s)


def mish(x: float) -> float:
    return x * math.tanh(log1pexp(x))


def backprop_mish(dy: float, x: float) -> float:
    t = math.tanh(log1pexp(x))
    return dy * (t + x * sigma(x) * (1.0 - t * t))


def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def normal_density(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def gelu_tanh(x: float) -> float:
    return math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x))


def backprop_gelu_approx(dy: float, x: float) -> float:
    t = gelu_tanh(x)
    flat = 1.0 - t * t
    # Where tanh has flattened out, its slope is 0 however large x and the slope of its argument are.
    bump = 0.5 * x * flat * math.sqrt(2.0 / math.pi) * (1.0 + 0.134145 * x * x) if flat else 0.0
    return dy * (0.5 + 0.5 * t + bump)


def backprop_hard_swish(dy: float, x: float) -> float:
    if x > 2.5:
        return dy
    return dy * 0.0 if x < -2.5 else dy * (0.4 * x + 0.5)


def backprop_hard_swish_mobilenet(dy: float, x: float) -> float:
    if x > 3.0:
        return dy
    return dy * 0.0 if x < -3.0 else dy * (2.0 * x + 3.0) / 6.0


def elu(x: float, alpha: float = 1.0) -> float:
    return x if x > 0 else alpha * math.expm1(x)


def backprop_elu(dy: float, y: float, alpha: float = 1.0) -> float:
    return dy if y > 0 else dy * (y + alpha)


def line(x: float, slope: float = 1.0, offset: float = 0.0, min_val: float = 0.0, max_val: float = 1.0) -> float:
    return clip(slope * x + offset, min_val, max_val)


def backprop_line(
    dy: float,
    x: float,
    slope: float = 1.0,
    offset: float = 0.0,
    min_val: float = 0.0,
    max_val: float = 1.0,
) -> float:
    return dy * slope if min_val < slope * x + offset < max_val else 0.0


ACTIVATIONS: Mapping[str, Activation] = {
    "sigmoid": Activation(sigma, lambda dy, y: dy * y * (1.0 - y), "Y"),
    "tanh": Activation(math.tanh, lambda dy, y: dy * (1.0 - y * y), "Y"),
    "relu": Activation(lambda x: clip(x, 0.0, math.inf), lambda dy, y: dy if y > 0 else 0.0, "Y", bends=(0.0,)),
    "hard_swish": Activation(
        lambda x: x * clip(0.2 * x + 0.5, 0.0, 1.0), backprop_hard_swish, "X", bends=(-2.5, 2.5)
    ),
    "hard_swish_mobilenet": Activation(
        lambda x: x * clip(x + 3.0, 0.0, 6.0) / 6.0, backprop_hard_swish_mobilenet, "X", bends=(-3.0, 3.0)
    ),
    "swish": Activation(
        lambda x: x * sigma(x), lambda dy, x: dy * (sigma(x) + x * sigma(x) * (1.0 - sigma(x))), "X"
    ),
    "dish": Activation(dish, backprop_dish, "X"),
    "mish": Activation(mish, backprop_mish, "X"),
    "gelu": Activation(
        lambda x: x * normal_cdf(x), lambda dy, x: dy * (normal_cdf(x) + x * normal_density(x)), "X"
    ),
    "gelu_approx": Activation(
        lambda x: 0.5 * x * (1.0 + gelu_tanh(x)),
        backprop_gelu_approx,
        "X",
    ),
    "softplus": Activation(log1pexp, lambda dy, x: dy * sigma(x), "X"),
    "elu": Activation(elu, backprop_elu, "Y", bends=(0.0,), settings={"low alpha": {"alpha": 0.3}}),
    "clipped_linear": Activation(
        line,
        backprop_line,
        "X",
        bends=(0.0, 1.0, -0.25, 2.25),
        settings={"steep": {"slope": 2.0, "offset": -0.5, "min_val": -1.0, "max_val": 4.0}},
    ),
    "relu_k": Activation(
        lambda x, n=6.0: clip(x, 0.0, n),
        lambda dy, x, n=6.0: dy if 0.0 < x < n else 0.0,
        "X",
        bends=(0.0, 2.0, 6.0),
        settings={"n is 2": {"n": 2.0}},
    ),
    "hard_sigmoid": Activation(
        lambda x: clip(0.2 * x + 0.5, 0.0, 1.0),
        lambda dy, x: 0.2 * dy if -2.5 < x < 2.5 else 0.0,
        "X",
        bends=(-2.5, 2.5),
    ),
    "hard_tanh": Activation(
        lambda x: clip(x, -1.0, 1.0), lambda dy, x: dy if -1.0 < x < 1.0 else 0.0, "X", bends=(-1.0, 1.0)
    ),
}


def elementwise(function: Callable[..., float]) -> Callable[..., Any]:
    def oracle(*arrays: Any, **settings: float) -> Any:
        shape = arrays[0].shape
        flat = [
            function(*numbers, **settings) for numbers in zip(*(a.ravel().tolist() for a in arrays), strict=True)
        ]
        return np.array(flat, dtype="float64").reshape(shape)

    return oracle


def _inputs(rng: np.random.Generator) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    yield "typical", rng.normal(0, 3, GRID), {"dtypes": (*FULL, *HALF)}
    yield "empty", np.zeros((0, 5)), {"dtypes": ("float32",)}
    yield "single number", np.array(0.7), {"dtypes": ("float32",)}
    yield "vector", rng.normal(0, 3, 257), {"dtypes": ("float32",)}
    yield "transposed", rng.normal(0, 3, GRID), {"layout": transposed}
    yield "strided", rng.normal(0, 3, GRID), {"layout": strided}
    yield "mixed", rng.normal(0, 3, GRID), {"layout": mixed}
    yield "extreme", EXTREME, {}
    yield "extreme float64", EXTREME_FLOAT64, {"dtypes": ("float64",)}
    yield "nonfinite", NONFINITE, {"finite": False}


def _forward_case(name: str, function: Callable[..., float], settings: Mapping[str, Any]) -> OpCase:
    def samples(rng: np.random.Generator) -> dict[str, Sample]:
        drawn = {label: Sample((X,), **how) for label, X, how in _inputs(rng)}
        drawn |= {label: Sample((rng.normal(0, 3, GRID),), chosen) for label, chosen in settings.items()}
        return drawn

    bad = [
        BadCall("integers", (np.ones(GRID, dtype="int32"),), DTypeError, "X must be a floating array, got int32"),
        BadCall("a number", (1.5,), DTypeError, "X must be an array of .*, got float"),
    ]
    return OpCase(name, elementwise(function), samples, (*bad, *_wrong_bounds(name, 1)))


def _backprop_case(name: str, row: Activation) -> OpCase:
    op, forward = f"backprop_{name}", elementwise(row.forward)

    def saved(X: Any, settings: Mapping[str, float]) -> Any:
        return X if row.reads == "X" else forward(X, **settings)

    def samples(rng: np.random.Generator) -> dict[str, Sample]:
        drawn = {
            label: Sample((rng.normal(0, 1, X.shape), saved(X, {})), **how) for label, X, how in _inputs(rng)
        }
        for label, chosen in row.settings.items():
            dY, X = rng.normal(0, 1, (2, *GRID))
            drawn[label] = Sample((dY, saved(X, chosen)), chosen)
        return drawn

    ones = np.ones(GRID, dtype="float32")
    bad = [
        BadCall("shapes", (ones, ones[:2]), ShapeError, rf"{row.reads} must have shape \(3, 7\) \(as dY\)"),
        BadCall("no broadcasting", (ones, ones[:1]), ShapeError, "as dY"),
        BadCall("two dtypes", (ones, ones.astype("float64")), DTypeError, "is float64 and dY is float32"),
        BadCall("integers", (ones.astype("int64"), ones), DTypeError, "dY must be a floating array"),
    ]
    return OpCase(
        op,
        elementwise(row.gradient),
        samples,
        (*bad, *_wrong_bounds(name, 2)),
        {label: _gradient(name, row, chosen) for label, chosen in ({"": {}} | dict(row.settings)).items()},
    )


def _gradient(name: str, row: Activation, settings: Mapping[str, float]) -> Gradient:
    X = np.linspace(-6.9, 6.9, 21).reshape(GRID)
    for bend in row.bends:
        X = np.where(abs(X - bend) < 0.05, X + 0.1, X)

    def forward(ops: Any, X: Any) -> Any:
        return getattr(ops, name)(X, **settings)

    def backprop(ops: Any, dY: Any, X: Any) -> tuple[Any, ...]:
        saved = X if row.reads == "X" else forward(ops, X)
        return (getattr(ops, f"backprop_{name}")(dY, saved, **settings),)

    return Gradient(forward, (X,), backprop)


def _wrong_bounds(name: str, arrays: int) -> tuple[BadCall, ...]:
    wrong = {
        "clipped_linear": ({"min_val": 2.0}, {"max_val": math.nan}),
        "relu_k": ({"n": -1.0},),
    }
    args = (np.ones(GRID, dtype="float32"),) * arrays
    return tuple(
        BadCall("bounds", args, ArgumentError, "min_val must not be above max_val", settings)
        for settings in wrong.get(name, ())
    )


CASES = (
    _forward_case("erf", math.erf, {}),
    *(_forward_case(name, row.forward, row.settings) for name, row in ACTIVATIONS.items()),
    *(_backprop_case(name, row) for name, row in ACTIVATIONS.items()),
)
