"""Windows of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES"]

WIDTH = 4
LENGTHS = np.array([0, 3, 0, 1, 4, 2, 0])


def pairs(rows: int, nW: int, lengths: Any) -> Iterator[tuple[int, int, int]]:
    """Each row, its neighbour, and the neighbour's place in the window."""
    start = 0
    for length in [rows] if lengths is None else lengths.tolist():
        for t in range(start, start + length):
            for k in range(2 * nW + 1):
                if start <= t + k - nW < start + length:
                    yield t, t + k - nW, k
        start += length


def seq2col(X: Any, nW: int, lengths: Any = None) -> Any:
    Y = np.zeros((X.shape[0], 2 * nW + 1, X.shape[1]))
    for t, other, k in pairs(len(X), nW, lengths):
        Y[t, k] = X[other]
    return Y.reshape(X.shape[0], (2 * nW + 1) * X.shape[1])


def backprop_seq2col(dY: Any, nW: int, lengths: Any = None) -> Any:
    dY = dY.reshape(dY.shape[0], 2 * nW + 1, dY.shape[1] // (2 * nW + 1))
    dX = np.zeros((dY.shape[0], dY.shape[2]))
    for t, other, k in pairs(len(dY), nW, lengths):
        dX[other] += dY[t, k]
    return dX


def _samples(rng: np.random.Generator, backward: bool) -> dict[str, Sample]:
    def args(nW: int, lengths: Any = LENGTHS, rows: int = 10, width: int = WIDTH, data: Any = None) -> Any:
        shape = (rows, width * (2 * nW + 1) if backward else width)
        X = rng.normal(0, 1, shape) if data is None else np.resize(data, shape)
        return (X, nW) if lengths is None else (X, nW, lengths)

    many = rng.integers(0, 20, 33)
    # Sums of one sign do not depend on their order.
    extreme = [1e30, 1e-30, 88.0, 0.0, 1e15]
    nonfinite = [math.nan, 1.0, math.inf, 0.5, 2.0, -math.inf, -1.0]
    return {
        "typical": Sample(args(1), dtypes=(*FULL, *HALF)),
        "one sequence": Sample(args(1, None)),
        "int32": Sample(args(2, LENGTHS.astype("int32")), dtypes=("float32",)),
        "uint8": Sample(args(2, LENGTHS.astype("uint8")), dtypes=("float32",)),
        "no neighbour": Sample(args(0)),
        "two": Sample(args(2)),
        "two, one sequence": Sample(args(2, None)),
        "wider than any sequence": Sample(args(5)),
        "wider than all": Sample(args(13, None)),
        "one row": Sample(args(1, np.array([1]), rows=1), dtypes=("float32",)),
        "many": Sample(args(2, many, rows=int(many.sum()), width=33), dtypes=("float32",)),
        "empty": Sample(args(1, None, rows=0), dtypes=("float32",)),
        "empty batch": Sample(args(1, LENGTHS[:0], rows=0), dtypes=("float32",)),
        "only empty sequences": Sample(args(1, LENGTHS[:1], rows=0), dtypes=("float32",)),
        "no column": Sample(args(1, width=0), dtypes=("float32",)),
        "transposed": Sample(args(1), layout=transposed),
        "strided": Sample(args(1), layout=strided),
        "mixed": Sample(args(1), layout=mixed),
        "extreme": Sample(args(1, data=extreme)),
        "nonfinite": Sample(args(1, data=nonfinite), finite=False),
    }


def _wrong(name: str) -> tuple[BadCall, ...]:
    X = np.ones((10, 6), dtype="float32")
    return (
        BadCall("integers", (X.astype("int32"), 1), DTypeError, f"{name} must be a floating array, got int32"),
        BadCall("a vector", (X[0], 1), ShapeError, f"{name} must have 2 dimensions"),
        BadCall("negative window", (X, -1), ArgumentError, "nW must be 0 or more, got -1"),
        BadCall("floats", (X, 1, X[0]), DTypeError, "lengths must be an integer array, got float32"),
        BadCall("matrix of lengths", (X, 1, LENGTHS[None]), ShapeError, "lengths must have 1 dimension"),
        BadCall("no sequence", (X, 1, LENGTHS[:0]), ShapeError, "number of rows, 10, got 0"),
        BadCall("too short", (X, 1, LENGTHS[:5]), ShapeError, "number of rows, 10, got 8", looks_at_values=True),
        BadCall("below 0", (X, 1, np.array([-1, 11])), ShapeError, "0 or more, got -1", looks_at_values=True),
    )


def _gradient(nW: int, lengths: Any) -> Gradient:
    def settings(ops: Any) -> dict[str, Any]:
        return {} if lengths is None else {"lengths": ops.asarray(lengths)}

    return Gradient(
        lambda ops, X: ops.seq2col(X, nW, **settings(ops)),
        (np.random.default_rng(3).normal(0, 1, (10, 3)),),
        lambda ops, dY, X: (ops.backprop_seq2col(dY, nW, **settings(ops)),),
    )


CASES = (
    OpCase("seq2col", seq2col, lambda rng: _samples(rng, False), _wrong("X")),
    OpCase(
        "backprop_seq2col",
        backprop_seq2col,
        lambda rng: _samples(rng, True),
        (
            *_wrong("dY"),
            BadCall("width", (np.ones((3, 4), "float32"), 1), ShapeError, "dY must have a multiple of 3 columns"),
        ),
        {
            "one": _gradient(1, LENGTHS),
            "three": _gradient(3, LENGTHS),
            "one sequence": _gradient(2, None),
        },
    ),
)
