"""The distance of directions; the other losses are beside softmax."""

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

CASES = (
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
