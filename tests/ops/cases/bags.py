"""Bags of rows of a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample, Tolerance
from tests.ops.cases.embedding import EXTREME, NONFINITE
from tests.ops.cases.layouts import mixed, strided, transposed
from tests.ops.cases.reductions import ints
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES"]

ROWS, WIDTH = 5, 4
# A bag of "many" adds up to 160 numbers around 1, in the order they come, and some sums cancel.
LONG_SUMS = {"float32": Tolerance(2e-6, 1e-5)}
LENGTHS = (2, 0, 3, 1)


def embedding_bag(table: Any, indices: Any, lengths: Any, *, mean: bool) -> Any:
    Y, start = np.zeros((len(lengths), table.shape[1])), 0
    for n, length in enumerate(lengths.tolist()):
        for rows in indices[start : start + length].tolist():
            for row in rows:
                Y[n] = Y[n] + table[row]
        if mean and length:
            Y[n] = Y[n] / length
        start += length
    return Y


def backprop_embedding_bag(dY: Any, indices: Any, lengths: Any, nV: int, *, mean: bool) -> Any:
    dE, start = np.zeros((nV, dY.shape[1])), 0
    for n, length in enumerate(lengths.tolist()):
        for rows in indices[start : start + length].tolist():
            for row in rows:
                dE[row] = dE[row] + (dY[n] / length if mean else dY[n])
        start += length
    return dE


def _samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(*lengths: int, K: int = 2, nV: int = ROWS, W: int = WIDTH, dtype: str = "int64") -> tuple[Any, ...]:
        indices = rng.integers(0, nV, (sum(lengths), K)).astype(dtype)
        return rng.normal(0, 1, (nV, W)), indices, ints(*lengths, dtype=dtype)

    many = rng.integers(0, 40, 67).tolist()
    nonfinite = (NONFINITE, np.array([[0, 1], [2, 2], [4, 3]]), ints(1, 1, 1))
    one_sign = (np.abs(EXTREME), np.array([[0, 1], [2, 2], [4, 3]]), ints(1, 2))
    drawn = {
        dtype: Sample(args(*LENGTHS, dtype=dtype), dtypes=("float32",))
        for dtype in ("int8", "uint8", "int32", "uint32", "uint64")
    } | {
        "typical": Sample(args(*LENGTHS), dtypes=(*FULL, *HALF)),
        "one bag": Sample(args(7), dtypes=("float32",)),
        "one row": Sample(args(1), dtypes=("float32",)),
        "one index": Sample(args(*LENGTHS, K=1), dtypes=("float32",)),
        "one column": Sample(args(*LENGTHS, W=1), dtypes=("float32",)),
        "many": Sample(args(*many, K=4, nV=301, W=19)),
        "empty": Sample(args(), dtypes=("float32",)),
        "only empty bags": Sample(args(0, 0, 0)),
        "empty K": Sample(args(*LENGTHS, K=0), dtypes=("float32",)),
        "empty width": Sample(args(*LENGTHS, W=0), dtypes=("float32",)),
        "empty table": Sample((np.zeros((0, WIDTH)), np.zeros((0, 2), "int64"), ints(0, 0)), dtypes=("float32",)),
        "transposed": Sample(args(*LENGTHS), layout=transposed),
        "strided": Sample(args(*LENGTHS), layout=strided),
        "mixed": Sample(args(*LENGTHS), layout=mixed),
        "extreme": Sample(one_sign),
        "nonfinite": Sample(nonfinite, finite=False),
    }
    settings = {f"{label}, mean": replace(sample, settings={"mean": True}) for label, sample in drawn.items()}
    return {label: replace(sample, settings={"mean": False}) for label, sample in drawn.items()} | settings


def _backprop_samples(rng: np.random.Generator) -> dict[str, Sample]:
    samples = {}
    for label, sample in _samples(rng).items():
        table, indices, lengths = sample.args
        shape = (len(lengths), table.shape[1])
        keeps = label.startswith(("extreme", "nonfinite"))
        dY = np.resize(table, shape) if keeps else rng.normal(0, 1, shape)
        samples[label] = replace(sample, args=(dY, indices, lengths, table.shape[0]))
    return samples


INDICES, COUNTS = np.array([[4, 0], [2, 2], [1, 4]]), ints(2, 0, 1)
table = np.ones((ROWS, WIDTH), dtype="float32")
dY = table[:3]
MEAN = {"mean": True}


def _gradient(mean: bool) -> Gradient:
    return Gradient(
        lambda ops, table: ops.embedding_bag(table, ops.asarray(INDICES), ops.asarray(COUNTS), mean=mean),
        (np.random.default_rng(9).normal(0, 1, (ROWS, WIDTH)),),
        lambda ops, dY, table: (
            ops.backprop_embedding_bag(dY, ops.asarray(INDICES), ops.asarray(COUNTS), ROWS, mean=mean),
        ),
    )


def _bad(first: Any, *rest: Any) -> tuple[BadCall, ...]:
    return tuple(
        BadCall(why, (first, indices, lengths, *rest), raises, match, MEAN, looks_at_values=looks)
        for why, indices, lengths, raises, match, looks in (
            ("below", INDICES - 1, COUNTS, ShapeError, "from 0 to 4, .* got -1", True),
            ("above", INDICES + 1, COUNTS, ShapeError, "from 0 to 4, .* got 5", True),
            ("a vector of indices", INDICES[0], COUNTS, ShapeError, "indices must have 2 dimensions", False),
            ("floats", table[:3], COUNTS, DTypeError, "indices must be an integer array", False),
            ("too short", INDICES, ints(1, 0, 1), ShapeError, "number of rows, 3, got 2", True),
            ("negative", INDICES, ints(4, -2, 1), ShapeError, "lengths must all be 0 or more, got -2", True),
            ("a matrix of lengths", INDICES, INDICES, ShapeError, "lengths must have 1 dimension", False),
        )
    )


CASES = (
    OpCase(
        "embedding_bag",
        embedding_bag,
        _samples,
        (
            *_bad(table),
            BadCall("a vector", (table[0], INDICES, COUNTS), ShapeError, "table must have 2 dimensions", MEAN),
            BadCall("ids", (INDICES, INDICES, COUNTS), DTypeError, "table must be a floating array", MEAN),
        ),
        tolerances=LONG_SUMS,
    ),
    OpCase(
        "backprop_embedding_bag",
        backprop_embedding_bag,
        _backprop_samples,
        (
            *_bad(dY, ROWS),
            BadCall("rows", (dY[:2], INDICES, COUNTS, ROWS), ShapeError, "one row for each of the 3", MEAN),
            BadCall("a vector", (dY[0], INDICES, COUNTS, ROWS), ShapeError, "dY must have 2 dimensions", MEAN),
            BadCall("nV", (dY, INDICES, COUNTS, -1), ArgumentError, "nV must be an integer from 0, got -1", MEAN),
        ),
        {"sum": _gradient(mean=False), "mean": _gradient(mean=True)},
        tolerances=LONG_SUMS,
    ),
)
