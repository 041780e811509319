"""Layer and root mean square normalisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample
from tests.ops.cases.layouts import Layout, mixed, strided, transposed
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES"]

GRID = (3, 4)


def layer_norm(X: Any, G: Any, b: Any, eps: float = 1e-8) -> tuple[Any, Any, Any]:
    nI = X.shape[-1]
    Y, mus, rstds = [], [], []
    for row in X.reshape(-1, nI).tolist():
        mu = math.fsum(row) / nI
        rstd = 1.0 / math.sqrt(math.fsum((x - mu) ** 2 for x in row) / nI + eps)
        Y.append([(x - mu) * rstd * g + shift for x, g, shift in zip(row, G.tolist(), b.tolist(), strict=True)])
        mus.append(mu)
        rstds.append(rstd)
    column = (*X.shape[:-1], 1)
    return (
        np.array(Y, dtype="float64").reshape(X.shape),
        np.array(mus, dtype="float64").reshape(column),
        np.array(rstds, dtype="float64").reshape(column),
    )


def backprop_layer_norm(dY: Any, X: Any, mu: Any, rstd: Any, G: Any) -> tuple[Any, Any, Any]:
    nI = dY.shape[-1]
    dX, dG, db = [], [0.0] * nI, [0.0] * nI
    rows = (array.reshape(mu.size, nI).tolist() for array in (dY, X))
    for dy, x, m, r in zip(*rows, mu.ravel().tolist(), rstd.ravel().tolist(), strict=True):
        unit = [(x[i] - m) * r for i in range(nI)]
        g = [dy[i] * G[i] for i in range(nI)]
        mean, along = sum(g) / nI, sum(g[i] * unit[i] for i in range(nI)) / nI
        dX.append([r * (g[i] - mean - unit[i] * along) for i in range(nI)])
        dG = [dG[i] + dy[i] * unit[i] for i in range(nI)]
        db = [db[i] + dy[i] for i in range(nI)]
    return np.array(dX, dtype="float64").reshape(dY.shape), np.array(dG), np.array(db)


def rms_norm(X: Any, G: Any, eps: float = 1e-8) -> tuple[Any, Any]:
    nI = X.shape[-1]
    rows = X.reshape(-1, nI).tolist()
    rstds = [1.0 / math.sqrt(math.fsum(x * x for x in row) / nI + eps) for row in rows]
    Y = [
        [x * rstd * g for x, g in zip(row, G.tolist(), strict=True)]
        for row, rstd in zip(rows, rstds, strict=True)
    ]
    return np.array(Y, "float64").reshape(X.shape), np.array(rstds, "float64").reshape(*X.shape[:-1], 1)


def backprop_rms_norm(dY: Any, X: Any, rstd: Any, G: Any) -> tuple[Any, Any]:
    nI = dY.shape[-1]
    dX, dG = [], [0.0] * nI
    rows = (array.reshape(rstd.size, nI).tolist() for array in (dY, X))
    for dy, x, r in zip(*rows, rstd.ravel().tolist(), strict=True):
        unit = [x[i] * r for i in range(nI)]
        g = [dy[i] * G[i] for i in range(nI)]
        along = sum(g[i] * unit[i] for i in range(nI)) / nI
        dX.append([r * (g[i] - unit[i] * along) for i in range(nI)])
        dG = [dG[i] + dy[i] * unit[i] for i in range(nI)]
    return np.array(dX, dtype="float64").reshape(dY.shape), np.array(dG)


def _inputs(rng: np.random.Generator) -> dict[str, tuple[tuple[Any, Any, Any], dict[str, Any]]]:
    def args(*shape: int, scale: float = 2.0) -> tuple[Any, Any, Any]:
        nI = shape[-1]
        return rng.normal(1, scale, shape), rng.normal(1, 0.2, nI), rng.normal(0, 0.2, nI)

    def laid(layout: Layout) -> tuple[Any, dict[str, Any]]:
        return args(*GRID), {"layout": layout}

    constant = (np.full(GRID, 3.0), np.ones(4), np.full(4, 0.5))
    # Squares of 1e15 are still float32 numbers; 1e-15 drowns in eps.
    extreme = np.array([[1e15, -1e15, 0.0, 3e14], [1e-15, -1e-15, 0.0, 1e-30], [88.0, -88.0, 88.0, -88.0]])
    nonfinite = np.array([[math.nan, 1.0, 2.0, 3.0], [math.inf, 1.0, 2.0, 3.0], [0.0, 1.0, 3.0, 3.0]])
    return {
        "typical": (args(*GRID), {"dtypes": (*FULL, *HALF)}),
        "empty": (args(0, 5), {"dtypes": ("float32",)}),
        "one row": (args(1, 7), {"dtypes": ("float32",)}),
        "vector": (args(7), {"dtypes": ("float32",)}),
        "odd sizes": (args(17, 33), {"dtypes": ("float32",)}),
        "a stack": (args(2, 3, 4), {}),
        "one column": (args(3, 1), {"dtypes": ("float32",)}),
        "constant rows": (constant, {}),
        "transposed": laid(transposed),
        "strided": laid(strided),
        "mixed": laid(mixed),
        "extreme": ((extreme, np.array([1.0, -2.0, 0.5, 1e-30]), np.zeros(4)), {}),
        "nonfinite": ((nonfinite, np.ones(4), np.zeros(4)), {"finite": False}),
    }


def _samples(rng: np.random.Generator) -> dict[str, Sample]:
    drawn = {label: Sample(args, **how) for label, (args, how) in _inputs(rng).items()}
    (X, G, b), _ = _inputs(rng)["typical"]
    return drawn | {"eps": Sample((X, G, b), {"eps": 0.5}), "no eps": Sample((X, G, b), {"eps": 0.0})}


def _backprop_samples(rng: np.random.Generator) -> dict[str, Sample]:
    samples = {}
    for label, ((X, G, b), how) in _inputs(rng).items():
        _, mu, rstd = layer_norm(X, G, b)
        samples[label] = Sample((rng.normal(0, 1, X.shape), X, mu, rstd, G), **how)
    return samples


def _backprop(ops: Any, dY: Any, X: Any, G: Any, b: Any) -> tuple[Any, Any, Any]:
    _, mu, rstd = ops.layer_norm(X, G, b)
    return ops.backprop_layer_norm(dY, X, mu, rstd, G)


def _gradient(*shape: int) -> Gradient:
    (X, G, b), _ = _inputs(np.random.default_rng(5))["typical" if shape == GRID else "a stack"]
    return Gradient(lambda ops, X, G, b: ops.layer_norm(X, G, b)[0], (X, G, b), _backprop)


def _rms_samples(rng: np.random.Generator) -> dict[str, Sample]:
    samples = {label: Sample((X, G), **how) for label, ((X, G, _), how) in _inputs(rng).items()}
    X, G = samples["typical"].args
    return samples | {"zeros": Sample((0 * X, G)), "eps": Sample((X, G), {"eps": 0.5})}


def _backprop_rms_samples(rng: np.random.Generator) -> dict[str, Sample]:
    return {
        label: Sample((rng.normal(0, 1, X.shape), X, rms_norm(X, G)[1], G), **how)
        for label, ((X, G, _), how) in _inputs(rng).items()
    }


def _backprop_rms(ops: Any, dY: Any, X: Any, G: Any) -> tuple[Any, Any]:
    _, rstd = ops.rms_norm(X, G)
    dX, dG = ops.backprop_rms_norm(dY, X, rstd, G)
    return dX, dG


def _rms_gradient(*shape: int) -> Gradient:
    (X, G, _), _ = _inputs(np.random.default_rng(6))["typical" if shape == GRID else "a stack"]
    return Gradient(lambda ops, X, G: ops.rms_norm(X, G)[0], (X, G), _backprop_rms)


X, column, row = (np.ones(shape, dtype="float32") for shape in (GRID, (3, 1), (4,)))

CASES = (
    OpCase(
        "layer_norm",
        layer_norm,
        _samples,
        (
            BadCall("G too long", (X, np.ones(8, "float32"), row), ShapeError, r"G must have shape \(4,\)"),
            BadCall("b a column", (X, row, column), ShapeError, "b must have shape .*one for each column of X"),
            BadCall("no column", (X[:, :0], row[:0], row[:0]), ShapeError, "X must have at least one column"),
            BadCall("a number", (np.ones((), "float32"), row, row), ShapeError, "at least one column"),
            BadCall("eps", (X, row, row), ArgumentError, "eps must be 0 or more, got -1", {"eps": -1.0}),
            BadCall("eps NaN", (X, row, row), ArgumentError, "eps must be 0 or more", {"eps": math.nan}),
            BadCall("two dtypes", (X, row, row.astype("float16")), DTypeError, "b is float16 and X is float32"),
            BadCall("integers", (X, row.astype("int32"), row), DTypeError, "G must be a floating array"),
        ),
    ),
    OpCase(
        "backprop_layer_norm",
        backprop_layer_norm,
        _backprop_samples,
        (
            BadCall("X", (X, X[:1], column, column, row), ShapeError, r"X must have shape \(3, 4\)"),
            BadCall("mu", (X, X, row, column, row), ShapeError, r"mu must have shape \(3, 1\)"),
            BadCall("rstd", (X, X, column, column[:1], row), ShapeError, r"rstd must have shape \(3, 1\)"),
            BadCall("G", (X, X, column, column, column), ShapeError, r"G must have shape \(4,\)"),
            BadCall(
                "no column", (X[:, :0], X[:, :0], column, column, row[:0]), ShapeError, "at least one column"
            ),
            BadCall(
                "two dtypes",
                (X, X, column.astype("float64"), column, row),
                DTypeError,
                "mu is float64 and dY is float32",
            ),
        ),
        {"rows": _gradient(*GRID), "a stack": _gradient(2, 3, 4)},
    ),
    OpCase(
        "rms_norm",
        rms_norm,
        _rms_samples,
        (
            BadCall("G too long", (X, np.ones(8, "float32")), ShapeError, r"G must have shape \(4,\)"),
            BadCall("no column", (X[:, :0], row[:0]), ShapeError, "X must have at least one column"),
            BadCall("a number", (np.ones((), "float32"), row), ShapeError, "at least one column"),
            BadCall("eps", (X, row), ArgumentError, "eps must be 0 or more, got -1", {"eps": -1.0}),
            BadCall("eps NaN", (X, row), ArgumentError, "eps must be 0 or more", {"eps": math.nan}),
            BadCall("two dtypes", (X, row.astype("float16")), DTypeError, "G is float16 and X is float32"),
        ),
    ),
    OpCase(
        "backprop_rms_norm",
        backprop_rms_norm,
        _backprop_rms_samples,
        (
            BadCall("X", (X, X[:1], column, row), ShapeError, r"X must have shape \(3, 4\)"),
            BadCall("rstd", (X, X, row, row), ShapeError, r"rstd must have shape \(3, 1\)"),
            BadCall("G", (X, X, column, column), ShapeError, r"G must have shape \(4,\)"),
            BadCall("no column", (X[:, :0], X[:, :0], column, row[:0]), ShapeError, "at least one column"),
            BadCall("integers", (X, X.astype("int32"), column, row), DTypeError, "X must be a floating array"),
        ),
        {"rows": _rms_gradient(*GRID), "a stack": _rms_gradient(2, 3, 4)},
    ),
)
