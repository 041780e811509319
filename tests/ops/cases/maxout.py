"""Maxout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES"]

PIECES = (3, 5, 3)


def maxout(X: Any) -> tuple[Any, Any]:
    best = np.zeros(X.shape[:-1])
    which = np.zeros(X.shape[:-1], dtype="int32")
    for place in np.ndindex(*X.shape[:-1]):
        pieces = X[place].tolist()
        nans = [p for p, piece in enumerate(pieces) if math.isnan(piece)]
        which[place] = nans[0] if nans else pieces.index(max(pieces))
        best[place] = pieces[which[place]]
    return best, which


def backprop_maxout(dY: Any, which: Any, P: int) -> Any:
    dX = np.zeros((*dY.shape, P))
    for place in np.ndindex(*dY.shape):
        dX[(*place, int(which[place]))] = dY[place]
    return dX


def _samples(rng: np.random.Generator) -> dict[str, Sample]:
    ties = rng.integers(0, 2, PIECES).astype("float64")
    extreme = np.array([[1e30, -1e30, 0.0], [-1e30, -1e-30, -88.0], [1e-30, 0.0, -0.5], [-1e30, -1e30, -1e30]])
    nan, inf = math.nan, math.inf
    nonfinite = np.array(
        [
            [nan, 1.0, 2.0],
            [1.0, nan, 2.0],
            [1.0, 2.0, nan],
            [nan] * 3,
            [-inf] * 3,
            [0.0, inf, inf],
            [inf, nan, 0.0],
        ]
    )
    return {
        "typical": Sample((rng.normal(0, 1, PIECES),), dtypes=(*FULL, *HALF)),
        "two pieces": Sample((rng.normal(0, 1, (3, 5, 2)),), dtypes=("float32",)),
        "one piece": Sample((rng.normal(0, 1, (3, 5, 1)),), dtypes=("float32",)),
        "seven pieces": Sample((rng.normal(0, 1, (2, 7)),), dtypes=("float32",)),
        "vector": Sample((rng.normal(0, 1, 5),), dtypes=("float32",)),
        "odd sizes": Sample((rng.normal(0, 1, (17, 33, 3)),), dtypes=("float32",)),
        "empty": Sample((np.zeros((0, 5, 3)),), dtypes=("float32",)),
        "ties": Sample((ties,)),
        "transposed": Sample((rng.normal(0, 1, PIECES),), layout=transposed),
        "strided": Sample((rng.normal(0, 1, PIECES),), layout=strided),
        "mixed": Sample((rng.normal(0, 1, PIECES),), layout=mixed),
        "extreme": Sample((np.resize(extreme, PIECES),)),
        "nonfinite": Sample((np.resize(nonfinite, PIECES),), finite=False),
    }


def _backprop_samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(*shape: int, P: int = 3, dtype: str = "int32") -> tuple[Any, Any, int]:
        return rng.normal(0, 1, shape), rng.integers(0, P, shape).astype(dtype), P

    extreme = np.resize([1e30, -1e30, 1e-30, -1e-30, 0.0, 88.0], (3, 5))
    nonfinite = np.resize([math.nan, math.inf, -math.inf, 1.0], (3, 5))
    _, which, _ = args(3, 5)
    return {
        "typical": Sample(args(3, 5), dtypes=(*FULL, *HALF)),
        "int64": Sample(args(3, 5, dtype="int64")),
        "uint8": Sample(args(3, 5, dtype="uint8"), dtypes=("float32",)),
        "one piece": Sample(args(3, 5, P=1), dtypes=("float32",)),
        "seven pieces": Sample(args(3, 5, P=7), dtypes=("float32",)),
        "single number": Sample(args(), dtypes=("float32",)),
        "odd sizes": Sample(args(17, 33), dtypes=("float32",)),
        "empty": Sample(args(0, 5), dtypes=("float32",)),
        "transposed": Sample(args(3, 5), layout=transposed),
        "strided": Sample(args(3, 5), layout=strided),
        "mixed": Sample(args(3, 5), layout=mixed),
        "extreme": Sample((extreme, which, 3)),
        "nonfinite": Sample((nonfinite, which, 3), finite=False),
    }


def _backprop(ops: Any, dY: Any, X: Any) -> tuple[Any, ...]:
    _, which = ops.maxout(X)
    return (ops.backprop_maxout(dY, which, X.shape[-1]),)


# Every piece at least 0.1 from the others, so that a small step leaves the winner.
APART = np.random.default_rng(6).permutation(45).reshape(PIECES) * 0.1

X = np.ones(PIECES, dtype="float32")
dY, which = X[..., 0], np.ones((3, 5), dtype="int32")

CASES = (
    OpCase(
        "maxout",
        maxout,
        _samples,
        (
            BadCall("no piece", (X[..., :0],), ShapeError, "X must have at least one column"),
            BadCall("a number", (np.ones((), "float32"),), ShapeError, "X must have at least one column"),
            BadCall("integers", (X.astype("int32"),), DTypeError, "X must be a floating array, got int32"),
        ),
    ),
    OpCase(
        "backprop_maxout",
        backprop_maxout,
        _backprop_samples,
        (
            BadCall("shapes", (dY, which[:1], 3), ShapeError, r"which must have shape \(3, 5\) \(as dY\)"),
            BadCall("which of floats", (dY, dY, 3), DTypeError, "which must be an integer array, got float32"),
            BadCall("dY of integers", (which, which, 3), DTypeError, "dY must be a floating array, got int32"),
            BadCall("no piece", (dY, which, 0), ArgumentError, "P must be 1 or more, got 0"),
        ),
        {"": Gradient(lambda ops, X: ops.maxout(X)[0], (APART,), _backprop)},
    ),
)
