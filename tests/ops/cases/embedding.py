"""Rows of a table."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES"]

WIDTH = 4
ROWS = 5


def gather(table: Any, indices: Any) -> Any:
    rows = [table[int(index)] for index in indices.ravel()]
    return np.array(rows, dtype="float64").reshape(indices.shape + table.shape[1:])


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    result = [row.copy() for row in table]
    for index, value in zip(indices.tolist(), values, strict=True):
        result[index] = result[index] + value
    return np.array(result, dtype="float64").reshape(table.shape)


def gather_add(table: Any, indices: Any) -> Any:
    sums = [sum((table[row] for row in rows), np.zeros(table.shape[1])) for rows in indices.tolist()]
    return np.array(sums, dtype="float64").reshape(len(indices), table.shape[1])


def backprop_gather_add(dY: Any, indices: Any, nV: int) -> Any:
    dE = np.zeros((nV, dY.shape[1]))
    for grad, rows in zip(dY, indices.tolist(), strict=True):
        for row in rows:
            dE[row] = dE[row] + grad
    return dE


def position_encode(N: int, D: int, period: float = 10000) -> Any:
    Y = np.zeros((N, D))
    for i in range(N):
        d = 0
        for j in range(0, D - 1, 2):
            d = j
            angle = i / period ** (2 * d / D)
            Y[i, j], Y[i, j + 1] = math.sin(angle), math.cos(angle)
        if D % 2:
            Y[i, D - 1] = math.sin(i / period ** (2 * d / D))
    return Y


def _positions(rng: np.random.Generator) -> dict[str, Sample]:
    sizes = {
        "typical": (7, 6),
        "odd sizes": (13, 5),
        "one column": (3, 1),
        "empty": (0, 4),
        "empty width": (4, 0),
    }
    return {label: Sample(args) for label, args in sizes.items()} | {
        "half": Sample((7, 6), dtypes=HALF),
        "period": Sample((7, 6), {"period": 100}),
        "many": Sample((1000, 8)),
        "extreme": Sample((5, 4), {"period": 1e30}),
    }


def _table(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(0, 1, shape or (ROWS, WIDTH))


def _indices(*numbers: int, dtype: str = "int64") -> Any:
    return np.array(numbers, dtype=dtype)


EXTREME = np.resize([1e30, -1e30, 1e-30, -1e-30, 88.0, 0.0, 1.0], (ROWS, WIDTH))
NONFINITE = np.resize([math.nan, 1.0, math.inf, -math.inf, 0.0], (ROWS, WIDTH))


def _gather_samples(rng: np.random.Generator) -> dict[str, Sample]:
    table = _table(rng)
    widths = {
        dtype: Sample((table, _indices(4, 0, 2, 2, 1, dtype=dtype)), dtypes=("float32",))
        for dtype in ("int8", "uint8", "int32", "uint32", "uint64")
    }
    return widths | {
        "typical": Sample((table, _indices(4, 0, 2, 2, 1)), dtypes=(*FULL, *HALF)),
        "one row": Sample((table, _indices(3)), dtypes=("float32",)),
        "a single index": Sample((table, np.array(3)), dtypes=("float32",)),
        "a matrix of indices": Sample((table, _indices(0, 4, 1, 1, 2, 2).reshape(2, 3))),
        "a table of matrices": Sample((_table(rng, ROWS, 2, 3), _indices(4, 0, 2, 2, 1))),
        "a table of numbers": Sample((_table(rng, ROWS), _indices(4, 0, 2, 2, 1)), dtypes=("float32",)),
        "empty": Sample((table, _indices()), dtypes=("float32",)),
        "empty table": Sample((np.zeros((0, WIDTH)), _indices()), dtypes=("float32",)),
        "transposed": Sample((table, _indices(0, 4, 1, 1, 2, 2).reshape(2, 3)), layout=transposed),
        "strided": Sample((table, _indices(4, 0, 2, 2, 1)), layout=strided),
        "mixed": Sample((table, _indices(4, 0, 2, 2, 1)), layout=mixed),
        "extreme": Sample((EXTREME, _indices(2, 1, 0, 0, 4))),
        "nonfinite": Sample((NONFINITE, _indices(0, 1, 2, 1, 4)), finite=False),
    }


def _scatter_samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(*indices: int, dtype: str = "int64") -> tuple[Any, Any, Any]:
        return _table(rng), _indices(*indices, dtype=dtype), rng.normal(0, 1, (len(indices), WIDTH))

    many = rng.integers(0, 7, 257)
    widths = {
        dtype: Sample(args(4, 0, 2, 2, 1, dtype=dtype), dtypes=("float32",))
        for dtype in ("int8", "uint8", "int32", "uint32", "uint64")
    }
    return widths | {
        "typical": Sample(args(4, 0, 2, 2, 2), dtypes=(*FULL, *HALF)),
        "no row twice": Sample(args(4, 0, 3, 2, 1)),
        "one row": Sample(args(3), dtypes=("float32",)),
        "all one row": Sample(args(3, 3, 3, 3, 3)),
        "many": Sample((_table(rng, 7, 3), many, rng.normal(0, 1, (257, 3))), dtypes=("float32",)),
        "a table of matrices": Sample(
            (_table(rng, ROWS, 2, 3), _indices(4, 0, 2, 2, 2), rng.normal(0, 1, (5, 2, 3)))
        ),
        "a table of numbers": Sample(
            (_table(rng, ROWS), _indices(4, 0, 2, 2, 2), rng.normal(0, 1, 5)), dtypes=("float32",)
        ),
        "empty": Sample(args(), dtypes=("float32",)),
        "empty width": Sample((np.zeros((ROWS, 0)), _indices(4, 0), np.zeros((2, 0))), dtypes=("float32",)),
        "transposed": Sample(args(4, 0, 2, 2, 2), layout=transposed),
        "strided": Sample(args(4, 0, 2, 2, 2), layout=strided),
        "mixed": Sample(args(4, 0, 2, 2, 2), layout=mixed),
        "extreme": Sample((EXTREME, _indices(0, 1, 2, 3, 4), -EXTREME)),
        "nonfinite": Sample((np.ones((ROWS, WIDTH)), _indices(0, 1, 0, 3, 3), NONFINITE), finite=False),
    }


def _sums_samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(N: int, K: int, nV: int = ROWS, W: int = WIDTH, dtype: str = "int64") -> tuple[Any, Any]:
        return _table(rng, nV, W), rng.integers(0, nV, (N, K)).astype(dtype)

    widths = {
        dtype: Sample(args(3, 4, dtype=dtype), dtypes=("float32",))
        for dtype in ("int8", "uint8", "int32", "uint32", "uint64")
    }
    large = np.resize([1e30, 1e-30, -1e30, 88.0, 0.0], (ROWS, WIDTH))
    return widths | {
        "typical": Sample(args(6, 4), dtypes=(*FULL, *HALF)),
        "one row": Sample(args(1, 4), dtypes=("float32",)),
        "one index": Sample(args(6, 1), dtypes=("float32",)),
        "one column": Sample(args(6, 3, W=1), dtypes=("float32",)),
        "odd sizes": Sample(args(267, 5, 301, 19), dtypes=("float32",)),
        "the same row": Sample((_table(rng), np.full((3, 4), 2))),
        "empty": Sample(args(0, 4), dtypes=("float32",)),
        "empty K": Sample(args(3, 0), dtypes=("float32",)),
        "empty table": Sample((np.zeros((0, WIDTH)), np.zeros((3, 0), "int64")), dtypes=("float32",)),
        "empty width": Sample((np.zeros((ROWS, 0)), np.zeros((3, 2), "int64")), dtypes=("float32",)),
        "transposed": Sample(args(6, 4), layout=transposed),
        "strided": Sample(args(6, 4), layout=strided),
        "mixed": Sample(args(6, 4), layout=mixed),
        "extreme": Sample((large, np.array([[0, 1], [2, 2], [4, 3]]))),
        "nonfinite": Sample((NONFINITE, np.array([[0, 1], [2, 2], [4, 3]])), finite=False),
    }


def _backprop_sums_samples(rng: np.random.Generator) -> dict[str, Sample]:
    samples = {}
    for label, sample in _sums_samples(rng).items():
        table, indices = sample.args
        N, nV, W = len(indices), *table.shape
        dY = np.resize(table, (N, W)) if label in ("extreme", "nonfinite") else rng.normal(0, 1, (N, W))
        samples[label] = replace(sample, args=(dY, indices, nV))
    return samples


SUMMED = np.array([[4, 0, 2], [2, 2, 1]])


def _gather_gradient(ops: Any, dY: Any, table: Any) -> tuple[Any, ...]:
    zeros = ops.alloc(table.shape, "float64")
    return (ops.scatter_add(zeros, ops.asarray(LOOKED_UP), dY),)


LOOKED_UP = _indices(4, 0, 2, 2, 2)

table = np.ones((ROWS, WIDTH), dtype="float32")
values = np.ones((2, WIDTH), dtype="float32")
BELOW, ABOVE = _indices(0, -1), _indices(0, ROWS)

CASES = (
    OpCase(
        "gather",
        gather,
        _gather_samples,
        (
            BadCall("below", (table, BELOW), ShapeError, "from 0 to 4, .* got -1: make", looks_at_values=True),
            BadCall("above", (table, ABOVE), ShapeError, "from 0 to 4, .* got 5: make", looks_at_values=True),
            BadCall("empty table", (table[:0], ABOVE), ShapeError, "indices must be", looks_at_values=True),
            BadCall("a number", (np.ones((), "float32"), BELOW), ShapeError, "table must have rows"),
            BadCall("floats", (table, values), DTypeError, "indices must be an integer array, got float32"),
            BadCall("booleans", (table, values > 0), DTypeError, "indices must be an integer array, got bool"),
            BadCall("a table of ids", (BELOW, BELOW), DTypeError, "table must be a floating array, got int64"),
        ),
    ),
    OpCase(
        "scatter_add",
        scatter_add,
        _scatter_samples,
        (
            BadCall("below", (table, BELOW, values), ShapeError, "from 0 to 4, .* got -1", looks_at_values=True),
            BadCall("above", (table, ABOVE, values), ShapeError, "from 0 to 4, .* got 5", looks_at_values=True),
            BadCall(
                "a matrix of indices",
                (table, BELOW[None], values[None]),
                ShapeError,
                "indices must have 1 dimension, got",
            ),
            BadCall("too few values", (table, BELOW, values[:1]), ShapeError, r"values must have shape \(2, 4\)"),
            BadCall("narrow values", (table, BELOW, values[:, :1]), ShapeError, "a row of table for each index"),
            BadCall("floats", (table, values[0], values), DTypeError, "indices must be an integer array"),
            BadCall(
                "two dtypes", (table, BELOW, values.astype("float64")), DTypeError, "values is float64 and table"
            ),
        ),
        {
            "": Gradient(
                lambda ops, table: ops.gather(table, ops.asarray(LOOKED_UP)),
                (np.random.default_rng(7).normal(0, 1, (ROWS, WIDTH)),),
                _gather_gradient,
            )
        },
    ),
    OpCase(
        "gather_add",
        gather_add,
        _sums_samples,
        (
            BadCall("below", (table, BELOW[None]), ShapeError, "from 0 to 4, .* got -1", looks_at_values=True),
            BadCall("above", (table, ABOVE[None]), ShapeError, "from 0 to 4, .* got 5", looks_at_values=True),
            BadCall("a vector of indices", (table, ABOVE), ShapeError, "indices must have 2 dimensions"),
            BadCall("a vector for a table", (table[0], ABOVE[None]), ShapeError, "table must have 2 dimensions"),
            BadCall("floats", (table, values), DTypeError, "indices must be an integer array, got float32"),
            BadCall("a table of ids", (SUMMED, SUMMED), DTypeError, "table must be a floating array, got int64"),
        ),
    ),
    OpCase(
        "backprop_gather_add",
        backprop_gather_add,
        _backprop_sums_samples,
        (
            BadCall("below", (values[:1], BELOW[None], 5), ShapeError, "0 to 4, .* -1", looks_at_values=True),
            BadCall("above", (values[:1], ABOVE[None], 5), ShapeError, "0 to 4, .* 5", looks_at_values=True),
            BadCall("rows", (values, SUMMED[:1], 5), ShapeError, "a row of indices for each row of dY"),
            BadCall("a vector", (values[0], SUMMED, 5), ShapeError, "dY must have 2 dimensions"),
            BadCall("a vector of indices", (values, ABOVE, 5), ShapeError, "indices must have 2 dimensions"),
            BadCall("floats", (values, values, 5), DTypeError, "indices must be an integer array, got float32"),
            BadCall("nV", (values, SUMMED, -1), ArgumentError, "nV must be an integer from 0, got -1"),
            BadCall("nV None", (values, SUMMED, None), ArgumentError, "nV must be an integer from 0, got None"),
        ),
        {
            "": Gradient(
                lambda ops, table: ops.gather_add(table, ops.asarray(SUMMED)),
                (np.random.default_rng(8).normal(0, 1, (ROWS, WIDTH)),),
                lambda ops, dY, table: (ops.backprop_gather_add(dY, ops.asarray(SUMMED), ROWS),),
            )
        },
    ),
    OpCase(
        "position_encode",
        position_encode,
        _positions,
        (
            BadCall("N", (-1, 4), ArgumentError, "N must be an integer from 0, got -1"),
            BadCall("D", (4, 1.5), ArgumentError, "D must be an integer from 0, got 1.5"),
            *(
                BadCall(f"period {period}", (4, 4, period), ArgumentError, "period must be above 0 and finite")
                for period in (0, -1.0, math.inf, math.nan)
            ),
        ),
        takes_dtype=True,
    ),
)
