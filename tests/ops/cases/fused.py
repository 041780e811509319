"""An affine map with an activation or with maxout: the oracles of both, one after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.ops.cases.activations import ACTIVATIONS, elementwise
from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample, Tolerance
from tests.ops.cases.layouts import mixed, strided, transposed
from tests.ops.cases.linear import affine, product
from tests.ops.cases.maxout import backprop_maxout, maxout
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES"]

# Sums of products come before a function that may double their error.
TOLERANCES = {"float32": Tolerance(1e-5, 1e-5), "float16": Tolerance(2e-2, 2e-2), "bfloat16": Tolerance(0.1, 0.2)}


def affine_activation(X: Any, W: Any, b: Any, activation: str, **settings: float) -> tuple[Any, Any]:
    row, Z = ACTIVATIONS[activation], affine(X, W, b)
    Y = elementwise(row.forward)(Z, **settings)
    return Y, Z if row.reads == "X" else Y


def backprop_affine_activation(
    dY: Any, X: Any, W: Any, saved: Any, activation: str, **settings: float
) -> tuple[Any, Any, Any]:
    dZ = elementwise(ACTIVATIONS[activation].gradient)(dY, saved, **settings)
    return product(dZ, W), product(dZ, X, trans1=True), dZ.sum(axis=0)


def affine_maxout(X: Any, W: Any, b: Any) -> tuple[Any, Any]:
    nO, nP, nI = W.shape
    return maxout(affine(X, W.reshape(nO * nP, nI), b.reshape(-1)).reshape(len(X), nO, nP))


def backprop_affine_maxout(dY: Any, X: Any, W: Any, which: Any) -> tuple[Any, Any, Any]:
    nO, nP, nI = W.shape
    pieces = backprop_maxout(dY, which, nP)
    dZ = pieces.reshape(len(dY), nO * nP)
    dW = product(dZ, X, trans1=True).reshape(W.shape)
    return product(dZ, W.reshape(nO * nP, nI)), dW, pieces.sum(axis=0)


SIZES = {"one row": (1, 5, 4), "odd sizes": (17, 33, 9), "several slices": (200, 3, 11)}
EMPTY = {"empty": (0, 5, 4), "empty nI": (3, 0, 4), "empty nO": (3, 5, 0)}
# Of one sign, so that sums do not cancel.
LARGE = [1e15, 1e-15, 88.0, 0.0, 1e-30]
INVERSE = [1e-15, 1e15, 1e-3, 1e-30, 0.0]
ODD = [math.nan, math.inf, 1.0, -1.0, 0.5, 2.0, -0.5]


def _drawn(rng: np.random.Generator, *shapes: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(rng.normal(0, 1, shape) for shape in shapes)


def _samples_of(shapes_of: Any, finish: Any) -> Any:
    """Samples from the shapes of the floating arrays, by N, nI and nO, and what makes arguments of them."""

    def samples(rng: np.random.Generator) -> dict[str, Sample]:
        def args(N: int, nI: int, nO: int) -> tuple[Any, ...]:
            result: tuple[Any, ...] = finish(rng, _drawn(rng, *shapes_of(N, nI, nO)))
            return result

        def filled(*fillings: list[float]) -> tuple[Any, ...]:
            shapes = shapes_of(3, 5, 4)
            arrays = [np.resize(fillings[min(n, len(fillings) - 1)], shape) for n, shape in enumerate(shapes)]
            result: tuple[Any, ...] = finish(rng, tuple(arrays))
            return result

        return {
            "typical": Sample(args(3, 5, 4), dtypes=(*FULL, *HALF)),
            **{label: Sample(args(*sizes), dtypes=("float32",)) for label, sizes in (SIZES | EMPTY).items()},
            "transposed": Sample(args(3, 5, 4), layout=transposed),
            "strided": Sample(args(3, 5, 4), layout=strided),
            "mixed": Sample(args(3, 5, 4), layout=mixed),
            "extreme": Sample(filled(LARGE, INVERSE, [88.0, 1e15, 1e-30, 0.0])),
            "nonfinite": Sample(filled(ODD, [1.0], [0.5]), finite=False),
        }

    return samples


def _activated(rng: np.random.Generator) -> dict[str, Sample]:
    shapes = ((3, 5), (4, 5), (4,))
    drawn: dict[str, Sample] = _samples_of(
        lambda N, nI, nO: ((N, nI), (nO, nI), (nO,)), lambda rng, arrays: (*arrays, "relu")
    )(rng)
    for name, row in ACTIVATIONS.items():
        for label, settings in {"": {}, **row.settings}.items():
            drawn[f"{name} {label}"] = Sample((*_drawn(rng, *shapes), name), settings)
    return drawn


def _activated_back(rng: np.random.Generator) -> dict[str, Sample]:
    shapes = ((3, 4), (3, 5), (4, 5), (3, 4))
    drawn: dict[str, Sample] = _samples_of(
        lambda N, nI, nO: ((N, nO), (N, nI), (nO, nI), (N, nO)), lambda rng, arrays: (*arrays, "relu")
    )(rng)
    for name, row in ACTIVATIONS.items():
        for label, settings in {"": {}, **row.settings}.items():
            drawn[f"{name} {label}"] = Sample((*_drawn(rng, *shapes), name), settings)
    return drawn


def _maxout_shapes(P: int) -> Any:
    return lambda N, nI, nO: ((N, nI), (nO, P, nI), (nO, P))


def _maxout_samples(rng: np.random.Generator) -> dict[str, Sample]:
    drawn: dict[str, Sample] = _samples_of(_maxout_shapes(3), lambda rng, arrays: arrays)(rng)
    for P in (1, 2, 9):
        drawn[f"{P} pieces"] = Sample(_drawn(rng, *_maxout_shapes(P)(3, 5, 4)), dtypes=("float32",))
    return drawn


def _maxout_back(rng: np.random.Generator) -> dict[str, Sample]:
    def with_winners(rng: np.random.Generator, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        dY, X, W = arrays
        return dY, X, W, rng.integers(0, W.shape[1], dY.shape).astype("int32")

    def shapes(P: int) -> Any:
        return lambda N, nI, nO: ((N, nO), (N, nI), (nO, P, nI))

    drawn: dict[str, Sample] = _samples_of(shapes(3), with_winners)(rng)
    for P in (1, 2, 9):
        drawn[f"{P} pieces"] = Sample(with_winners(rng, _drawn(rng, *shapes(P)(3, 5, 4))), dtypes=("float32",))
    return drawn


def _activated_gradient(name: str, settings: Any) -> Gradient:
    rng = np.random.default_rng(8)
    reads_y = ACTIVATIONS[name].reads == "Y"

    def forward(ops: Any, X: Any, W: Any, b: Any) -> Any:
        return ops.affine_activation(X, W, b, name, **settings)[0]

    def backprop(ops: Any, dY: Any, X: Any, W: Any, b: Any) -> tuple[Any, ...]:
        Y, saved = ops.affine_activation(X, W, b, name, **settings)
        assert (saved is Y) or not reads_y or ops.name != "numpy"
        dX, dW, db = ops.backprop_affine_activation(dY, X, W, saved, name, **settings)
        return dX, dW, db

    return Gradient(forward, _drawn(rng, (3, 5), (4, 5), (4,)), backprop)


def _maxout_gradient() -> Gradient:
    def backprop(ops: Any, dY: Any, X: Any, W: Any, b: Any) -> tuple[Any, ...]:
        _, which = ops.affine_maxout(X, W, b)
        dX, dW, db = ops.backprop_affine_maxout(dY, X, W, which)
        return dX, dW, db

    inputs = _drawn(np.random.default_rng(9), (3, 5), (4, 3, 5), (4, 3))
    return Gradient(lambda ops, X, W, b: ops.affine_maxout(X, W, b)[0], inputs, backprop)


X, W, b, Y = (np.ones(shape, "float32") for shape in ((3, 5), (4, 5), (4,), (3, 4)))
W3, b3, which = np.ones((4, 3, 5), "float32"), np.ones((4, 3), "float32"), np.ones((3, 4), "int32")

CASES = (
    OpCase(
        "affine_activation",
        affine_activation,
        _activated,
        (
            BadCall("widths", (X, W[:, :4], b, "relu"), ShapeError, r"W must have shape \(4, 5\) \(a column for"),
            BadCall("b too long", (X, W, np.ones(5, "float32"), "relu"), ShapeError, r"b must have shape \(4,\)"),
            BadCall("a vector", (X[0], W, b, "relu"), ShapeError, "X must have 2 dimensions"),
            BadCall("integers", (X.astype("int32"), W, b, "relu"), DTypeError, "X must be a floating array"),
            BadCall("unknown", (X, W, b, "rleu"), ArgumentError, "activation must be one of sigmoid, .*'rleu'"),
            BadCall("setting", (X, W, b, "elu"), ArgumentError, "elu takes alpha, got beta", {"beta": 1.0}),
            BadCall("none", (X, W, b, "relu"), ArgumentError, "relu takes no settings, got n", {"n": 1.0}),
            BadCall("bounds", (X, W, b, "relu_k"), ArgumentError, "min_val must not be above", {"n": -1.0}),
        ),
        tolerances=TOLERANCES,
    ),
    OpCase(
        "backprop_affine_activation",
        backprop_affine_activation,
        _activated_back,
        (
            BadCall("saved", (Y, X, W, Y[:1], "relu"), ShapeError, r"saved must have shape \(3, 4\) \(as dY\)"),
            BadCall("rows", (Y, X[:2], W, Y, "relu"), ShapeError, r"X must have shape \(3, 5\) \(a row for each"),
            BadCall("widths", (Y, X, W.T, Y, "relu"), ShapeError, r"W must have shape \(4, 5\) \(from the"),
            BadCall("two dtypes", (Y, X, W.astype("float64"), Y, "relu"), DTypeError, "W is float64 and dY is"),
            BadCall("unknown", (Y, X, W, Y, "softmax"), ArgumentError, "activation must be one of"),
        ),
        {
            f"{name} {label}".strip(): _activated_gradient(name, settings)
            for name, row in ACTIVATIONS.items()
            for label, settings in {"": {}, **row.settings}.items()
        },
        tolerances=TOLERANCES,
    ),
    OpCase(
        "affine_maxout",
        affine_maxout,
        _maxout_samples,
        (
            BadCall("a matrix", (X, W, b3), ShapeError, "W must have 3 dimensions"),
            BadCall("widths", (X[:, :4], W3, b3), ShapeError, r"W must have shape \(4, 3, 4\) \(a column for"),
            BadCall("b", (X, W3, b3.T), ShapeError, r"b must have shape \(4, 3\) \(one for each row of W\)"),
            BadCall("no piece", (X, W3[:, :0], b3[:, :0]), ShapeError, "W must have at least one piece"),
            BadCall("integers", (X.astype("int32"), W3, b3), DTypeError, "X must be a floating array"),
        ),
        tolerances=TOLERANCES,
    ),
    OpCase(
        "backprop_affine_maxout",
        backprop_affine_maxout,
        _maxout_back,
        (
            BadCall("which", (Y, X, W3, which[:1]), ShapeError, r"which must have shape \(3, 4\) \(as dY\)"),
            BadCall("which of floats", (Y, X, W3, Y), DTypeError, "which must be an integer array"),
            BadCall("rows", (Y, X[:2], W3, which), ShapeError, r"X must have shape \(3, 5\) \(a row for each"),
            BadCall("W", (Y, X, W3[:2], which), ShapeError, r"W must have shape \(4, 3, 5\) \(one for each col"),
        ),
        {"": _maxout_gradient()},
        tolerances=TOLERANCES,
    ),
)
