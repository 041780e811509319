"""The distance of directions, and the loss of labels; the other losses are beside softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample, Tolerance
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import DTypeError, ShapeError

__all__ = ["CASES"]

GRID = (3, 7)


def cosine_distance(X: Any, T: Any) -> tuple[Any, Any]:
    losses, dX = np.ones(len(X)), np.zeros(X.shape)
    for n, (x, t) in enumerate(zip(X, T, strict=True)):
        length, other = math.hypot(*x), math.hypot(*t)
        if math.isnan(length) or math.isnan(other) or math.isinf(length + other):
            losses[n], dX[n] = math.nan, math.nan
        elif length and other:
            cosine = float((x / length) @ (t / other))
            losses[n], dX[n] = 1 - cosine, (cosine * x / length - t / other) / length
    return losses, dX


def label_cross_entropy(Y: Any, labels: Any, scale: float = 1.0) -> tuple[Any, Any]:
    losses, dX = np.zeros(len(Y)), Y * scale
    for n, label in enumerate(labels.tolist()):
        losses[n] = -np.log(Y[n, label])
        dX[n, label] = (Y[n, label] - 1) * scale
    return losses, dX


def _label_samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(N: int, C: int, dtype: str = "int64") -> tuple[Any, Any]:
        Y = rng.uniform(0.01, 1, (N, C))
        return Y / Y.sum(axis=1, keepdims=True), rng.integers(0, C, N).astype(dtype)

    Y, labels = args(*GRID)
    nonfinite = Y.copy()
    nonfinite[0, 2], nonfinite[1, labels[1]] = math.nan, math.nan
    return {
        "typical": Sample((Y, labels), dtypes=(*FULL, *HALF)),
        "scaled": Sample((Y, labels, 0.25), dtypes=(*FULL, *HALF)),
        "one row": Sample(args(1, 5), dtypes=("float32",)),
        "one column": Sample((np.array([[1.0], [0.5]]), np.array([0, 0])), dtypes=("float32",)),
        "odd sizes": Sample(args(17, 33), dtypes=("float32",)),
        "large": Sample(args(2001, 33), dtypes=("float32",)),
        "empty": Sample(args(0, 5), dtypes=("float32",)),
        "uint8": Sample(args(*GRID, dtype="uint8"), dtypes=("float32",)),
        "int32": Sample(args(*GRID, dtype="int32"), dtypes=("float32",)),
        "transposed": Sample((Y, labels), layout=transposed),
        "strided": Sample((Y, labels), layout=strided),
        "mixed": Sample((Y, labels), layout=mixed),
        "extreme": Sample((np.array([[1.0, 1e-30], [1e-30, 1.0]]), np.array([1, 1]))),
        "nonfinite": Sample((nonfinite, labels), finite=False),
    }


def _samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(*shape: int) -> tuple[Any, Any]:
        X, T = rng.normal(0, 1, (2, *shape))
        return X, T

    zeros = args(*GRID)
    zeros[0][1], zeros[1][2] = 0, 0
    X, T = args(*GRID)
    nonfinite = X.copy(), T.copy()
    nonfinite[0][0, 2], nonfinite[1][1, 3] = math.nan, math.nan
    return {
        "typical": Sample((X, T), dtypes=(*FULL, *HALF)),
        "zeros": Sample(zeros),
        "one row": Sample(args(1, 5), dtypes=("float32",)),
        "one column": Sample(args(5, 1), dtypes=("float32",)),
        "odd sizes": Sample(args(17, 33), dtypes=("float32",)),
        "empty": Sample(args(0, 5), dtypes=("float32",)),
        "transposed": Sample((X, T), layout=transposed),
        "strided": Sample((X, T), layout=strided),
        "mixed": Sample((X, T), layout=mixed),
        "extreme": Sample((X * 1e30, T * 1e25)),
        "extremely small": Sample((X * 1e-25, T * 1e-30)),
        "nonfinite": Sample(nonfinite, finite=False),
    }


START, TARGETS = np.random.default_rng(5).normal(0, 1, (2, *GRID))
ones = np.ones(GRID, dtype="float32")

labels = np.array([0, 6, 2])

CASES = (
    OpCase(
        "label_cross_entropy",
        label_cross_entropy,
        _label_samples,
        (
            BadCall(
                "below",
                (ones, labels - 1),
                ShapeError,
                "labels must be from 0 to 6, .* got -1",
                looks_at_values=True,
            ),
            BadCall(
                "above",
                (ones, labels + 1),
                ShapeError,
                "labels must be from 0 to 6, .* got 7",
                looks_at_values=True,
            ),
            BadCall("too few", (ones, labels[:2]), ShapeError, r"labels must have shape \(3,\)"),
            BadCall("floats", (ones, ones[:, 0]), DTypeError, "labels must be an integer array, got float32"),
            BadCall("a vector", (ones[0], labels), ShapeError, "Y must have 2 dimensions, got shape"),
        ),
        {
            "": Gradient(
                lambda ops, X: ops.label_cross_entropy(ops.softmax(X), ops.asarray(labels))[0],
                (START,),
                lambda ops, dY, X: (
                    ops.label_cross_entropy(ops.softmax(X), ops.asarray(labels))[1] * dY[:, None],
                ),
            )
        },
    ),
    OpCase(
        "cosine_distance",
        cosine_distance,
        _samples,
        (
            BadCall("shapes", (ones, ones[:2]), ShapeError, r"T must have shape \(3, 7\) \(as X\)"),
            BadCall("a vector", (ones[0], ones[0]), ShapeError, "X must have 2 dimensions, got shape"),
            BadCall("no column", (ones[:, :0], ones[:, :0]), ShapeError, "X must have at least one column"),
            BadCall("two dtypes", (ones, ones.astype("float64")), DTypeError, "T is float64 and X is float32"),
        ),
        {
            "": Gradient(
                lambda ops, X: ops.cosine_distance(X, ops.asarray(TARGETS, dtype="float64"))[0],
                (START,),
                lambda ops, dY, X: (
                    ops.cosine_distance(X, ops.asarray(TARGETS, dtype="float64"))[1] * dY[:, None],
                ),
            )
        },
        # A gradient of the order of 1/‖X‖ is what is left of two of that size.
        tolerances={"float32": Tolerance(1e-5, 1e-6), "float16": Tolerance(1e-2, 1e-2)},
    ),
)
