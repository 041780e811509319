"""Softmax, its logarithm, and cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES"]

GRID = (5, 4)
CUBE = (2, 3, 4)

EXTREME = np.array(
    [[1e30, -1e30, 0.0, 1e30], [88.0, -88.0, 87.0, 1e-30], [-1e30] * 4, [0.0] * 4, [-1e-30, 1e-30, 20.0, -20.0]]
)
nan, inf = math.nan, math.inf
# Masked classes, a row of masked classes, and what no row can be made of.
NONFINITE = np.array(
    [[-inf, 1.0, 2.0, -inf], [-inf] * 4, [inf, 1.0, 2.0, -inf], [nan, 1.0, 2.0, 0.5], [0.0, 1.0, 2.0, 3.0]]
)


def _along(function: Callable[..., list[float]]) -> Callable[..., Any]:
    """A function of rows of Python numbers as a function of arrays along an axis."""

    def oracle(*arrays: Any, axis: int = -1, **settings: float) -> Any:
        moved = [np.moveaxis(array, axis, -1) for array in arrays]
        width = moved[0].shape[-1]
        rows = zip(*(array.reshape(-1, width).tolist() for array in moved), strict=True)
        results = [function(*row, **settings) for row in rows]
        return np.moveaxis(np.array(results, dtype="float64").reshape(moved[0].shape), -1, axis)

    return oracle


def logs_of_row(row: list[float]) -> list[float]:
    top = max(row)
    if any(math.isnan(x) for x in row) or not math.isfinite(top):
        return [math.nan] * len(row)
    total = math.log(math.fsum(math.exp(x - top) for x in row))
    return [x - top - total for x in row]


def softmax_of_row(row: list[float], temperature: float = 1.0) -> list[float]:
    return [math.exp(log) for log in logs_of_row([x / temperature for x in row])]


def backprop_softmax_of_row(Y: list[float], dY: list[float], temperature: float = 1.0) -> list[float]:
    """Through the whole matrix of derivatives, dY[j]/dX[i] = Y[j] ([i = j] - Y[i]) / T."""
    each = range(len(Y))
    return [math.fsum(dY[j] * Y[j] * ((i == j) - Y[i]) for j in each) / temperature for i in each]


def backprop_log_softmax_of_row(dY: list[float], Y: list[float]) -> list[float]:
    each = range(len(Y))
    return [math.fsum(dY[j] * ((i == j) - math.exp(Y[i])) for j in each) for i in each]


def cross_entropy(X: Any, T: Any) -> tuple[Any, Any]:
    losses, dX = np.zeros(len(X)), np.zeros(X.shape)
    for n, (row, targets) in enumerate(zip(X.tolist(), T.tolist(), strict=True)):
        logs = logs_of_row(row)
        losses[n] = -math.fsum(t * log for t, log in zip(targets, logs, strict=True) if t != 0)
        dX[n] = [math.exp(log) * math.fsum(targets) - t for t, log in zip(targets, logs, strict=True)]
    return losses, dX


softmax = _along(softmax_of_row)
log_softmax = _along(logs_of_row)


def _inputs(rng: np.random.Generator) -> dict[str, tuple[Any, dict[str, Any]]]:
    return {
        "typical": (rng.normal(0, 3, GRID), {"dtypes": (*FULL, *HALF)}),
        "empty": (np.zeros((0, 5)), {"dtypes": ("float32",)}),
        "one row": (rng.normal(0, 3, (1, 7)), {"dtypes": ("float32",)}),
        "one column": (rng.normal(0, 3, (3, 1)), {"dtypes": ("float32",)}),
        "vector": (rng.normal(0, 3, 257), {"dtypes": ("float32",)}),
        "first axis": (rng.normal(0, 3, CUBE), {"settings": {"axis": 0}}),
        "middle axis": (rng.normal(0, 3, CUBE), {"settings": {"axis": -2}}),
        "transposed": (rng.normal(0, 3, GRID), {"layout": transposed}),
        "strided": (rng.normal(0, 3, GRID), {"layout": strided}),
        "mixed": (rng.normal(0, 3, GRID), {"layout": mixed}),
        "extreme": (EXTREME, {}),
        "nonfinite": (NONFINITE, {"finite": False}),
    }


def _with_temperature(rng: np.random.Generator) -> dict[str, tuple[Any, dict[str, Any]]]:
    return _inputs(rng) | {
        "cold": (rng.normal(0, 3, GRID), {"settings": {"temperature": 0.25}}),
        "hot": (rng.normal(0, 3, CUBE), {"settings": {"temperature": 5.0, "axis": 1}}),
    }


def _softmax_samples(rng: np.random.Generator) -> dict[str, Sample]:
    return {label: Sample((X,), **how) for label, (X, how) in _with_temperature(rng).items()}


def _log_softmax_samples(rng: np.random.Generator) -> dict[str, Sample]:
    return {label: Sample((X,), **how) for label, (X, how) in _inputs(rng).items()}


def _backprop_softmax_samples(rng: np.random.Generator) -> dict[str, Sample]:
    return {
        label: Sample((softmax(X, **how.get("settings", {})), rng.normal(0, 1, X.shape)), **how)
        for label, (X, how) in _with_temperature(rng).items()
    }


def _backprop_log_softmax_samples(rng: np.random.Generator) -> dict[str, Sample]:
    return {
        label: Sample((rng.normal(0, 1, X.shape), log_softmax(X, **how.get("settings", {}))), **how)
        for label, (X, how) in _inputs(rng).items()
    }


def _cross_entropy_samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(N: int, C: int) -> tuple[Any, Any]:
        return rng.normal(0, 3, (N, C)), rng.dirichlet(np.ones(C), N)

    hard = np.eye(4)[[2, 0, 3, 3, 1]]
    masked = hard * np.array([[1.0], [0.0], [1.0], [1.0], [0.0]])
    weighted = hard * np.array([[0.5], [3.0], [1.0], [0.25], [7.0]])
    X = rng.normal(0, 3, GRID)
    return {
        "typical": Sample(args(*GRID), dtypes=(*FULL, *HALF)),
        "hard targets": Sample((X, hard)),
        "a masked row": Sample((X, masked)),
        "weighted rows": Sample((X, weighted)),
        "empty": Sample((np.zeros((0, 5)), np.zeros((0, 5))), dtypes=("float32",)),
        "one row": Sample(args(1, 7), dtypes=("float32",)),
        "one column": Sample((rng.normal(0, 3, (3, 1)), np.ones((3, 1))), dtypes=("float32",)),
        "odd sizes": Sample(args(33, 17), dtypes=("float32",)),
        "transposed": Sample(args(*GRID), layout=transposed),
        "strided": Sample(args(*GRID), layout=strided),
        "mixed": Sample(args(*GRID), layout=mixed),
        "extreme": Sample((EXTREME, np.eye(4)[[1, 1, 2, 3, 0]])),
        "nonfinite": Sample((NONFINITE, np.eye(4)[[1, 0, 0, 0, 0]]), finite=False),
    }


def logloss(y_true: Any, y_pred: Any) -> Any:
    losses = [
        -(t * _log(p + 1e-8) + (1 - t) * _log(1 - p + 1e-8))
        for t, p in zip(y_true.ravel().tolist(), y_pred.ravel().tolist(), strict=True)
    ]
    return np.array(losses, dtype="float64").reshape(y_true.shape)


def _log(x: float) -> float:
    return math.log(x) if x >= 0 else math.nan


def _logloss_samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(*shape: int) -> tuple[Any, Any]:
        return rng.uniform(0, 1, shape), rng.uniform(0.01, 0.99, shape)

    certain = np.array([[0.0, 1.0, 0.0, 1.0, 0.5], [0.0, 0.0, 1.0, 1.0, 0.5]])
    extreme = np.array([[1e15, -1e15, 1e-30], [0.25, 0.75, 0.5]])
    nonfinite = np.array([[math.nan, 0.5, 1.0], [0.5, math.nan, 2.0]])
    return {
        "typical": Sample(args(*GRID), dtypes=(*FULL, "bfloat16")),
        "one row": Sample(args(7), dtypes=("float32",)),
        "empty": Sample(args(0, 5), dtypes=("float32",)),
        "odd sizes": Sample(args(2, 3, 13), dtypes=("float32",)),
        "certain": Sample(tuple(certain)),
        "transposed": Sample(args(*GRID), layout=transposed),
        "strided": Sample(args(*GRID), layout=strided),
        "mixed": Sample(args(*GRID), layout=mixed),
        "extreme": Sample(tuple(extreme)),
        "nonfinite": Sample(tuple(nonfinite), finite=False),
    }


def _smooth(shape: tuple[int, ...]) -> tuple[Any, ...]:
    return (np.random.default_rng(3).normal(0, 1, shape),)


def _softmax_gradient(axis: int, temperature: float) -> Gradient:
    settings = {"axis": axis, "temperature": temperature}
    return Gradient(
        lambda ops, X: ops.softmax(X, **settings),
        _smooth(CUBE if axis == 1 else GRID),
        lambda ops, dY, X: (ops.backprop_softmax(ops.softmax(X, **settings), dY, **settings),),
    )


TARGETS = np.random.default_rng(4).dirichlet(np.ones(4), 5)

ones = np.ones(GRID, dtype="float32")
BAD_AXES = tuple(
    BadCall(f"axis {axis}", (np.ones(shape, dtype="float32"),), ShapeError, "axis must be one", settings)
    for shape, axis, settings in (
        (GRID, 2, {"axis": 2}),
        (GRID, -3, {"axis": -3}),
        ((3, 0), -1, {}),
        ((0, 5), 0, {"axis": 0}),
        ((), -1, {}),
    )
)
BAD_TEMPERATURES = tuple(
    BadCall(f"temperature {T}", (ones,), ArgumentError, "temperature must be above 0, got", {"temperature": T})
    for T in (0.0, -1.0, math.nan)
)
BAD_X = (
    BadCall("integers", (np.ones(GRID, dtype="int32"),), DTypeError, "X must be a floating array, got int32"),
)


def _twice(bad_calls: tuple[BadCall, ...]) -> tuple[BadCall, ...]:
    return tuple(BadCall(bad.why, bad.args * 2, bad.raises, bad.match, bad.settings) for bad in bad_calls)


def _pairs(first: str, second: str) -> tuple[BadCall, ...]:
    return (
        BadCall("shapes", (ones, ones[:1]), ShapeError, rf"{second} must have shape \(5, 4\) \(as {first}\)"),
        BadCall("two dtypes", (ones, ones.astype("float64")), DTypeError, f"{second} is float64 and {first} is"),
        BadCall("integers", (ones.astype("int32"), ones), DTypeError, f"{first} must be a floating array"),
    )


CASES = (
    OpCase("softmax", softmax, _softmax_samples, (*BAD_AXES, *BAD_TEMPERATURES, *BAD_X)),
    OpCase(
        "backprop_softmax",
        _along(backprop_softmax_of_row),
        _backprop_softmax_samples,
        (*_twice(BAD_AXES), *_twice(BAD_TEMPERATURES), *_pairs("Y", "dY")),
        {"rows": _softmax_gradient(-1, 1.0), "hot, middle axis": _softmax_gradient(1, 5.0)},
    ),
    OpCase("log_softmax", log_softmax, _log_softmax_samples, (*BAD_AXES, *BAD_X)),
    OpCase(
        "backprop_log_softmax",
        _along(backprop_log_softmax_of_row),
        _backprop_log_softmax_samples,
        (*_twice(BAD_AXES), *_pairs("dY", "Y")),
        {
            "": Gradient(
                lambda ops, X: ops.log_softmax(X, axis=0),
                _smooth(GRID),
                lambda ops, dY, X: (ops.backprop_log_softmax(dY, ops.log_softmax(X, axis=0), axis=0),),
            )
        },
    ),
    OpCase(
        "cross_entropy",
        cross_entropy,
        _cross_entropy_samples,
        (
            *_pairs("X", "T"),
            BadCall("rank", (ones[0], ones[0]), ShapeError, "X must have 2 dimensions, got shape"),
            BadCall("no class", (ones[:, :0], ones[:, :0]), ShapeError, "X must have at least one column"),
        ),
        {
            # The op returns the gradient of the sum of the losses, so that dY must be 1: here, by weighting T.
            "": Gradient(
                lambda ops, X: ops.cross_entropy(X, ops.asarray(TARGETS, dtype="float64"))[0],
                _smooth(GRID),
                lambda ops, dY, X: (
                    ops.cross_entropy(X, dY[:, None] * ops.asarray(TARGETS, dtype="float64"))[1],
                ),
            )
        },
    ),
    OpCase("logloss", logloss, _logloss_samples, _pairs("y_true", "y_pred")),
)
