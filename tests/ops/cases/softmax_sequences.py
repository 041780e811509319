"""Softmax down the rows of sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.ops.cases.case import BadCall, Gradient, OpCase, Sample
from tests.ops.cases.reductions import (
    EXTREME,
    GAPS,
    NONFINITE,
    RANK,
    WIDTH,
    X,
    bad_lengths,
    forward_samples,
    lengths,
)
from tests.ops.cases.softmax import backprop_softmax_of_row, softmax_of_row
from triops.errors import DTypeError, ShapeError

__all__ = ["CASES"]


def down_columns(function: Any, *arrays: Any, lengths: Any) -> Any:
    """A function of lists of numbers, for each column of each sequence."""
    results, start = np.zeros(arrays[0].shape), 0
    for length in lengths.tolist():
        end = start + length
        for j in range(results.shape[1] if length else 0):
            results[start:end, j] = function(*(array[start:end, j].tolist() for array in arrays))
        start = end
    return results


def softmax_sequences(Xs: Any, lengths: Any) -> Any:
    return down_columns(softmax_of_row, Xs, lengths=lengths)


def backprop_softmax_sequences(dY: Any, Y: Any, lengths: Any) -> Any:
    return down_columns(backprop_softmax_of_row, Y, dY, lengths=lengths)


MASKED = np.array([[-math.inf] * WIDTH, [1.0] * WIDTH, [2.0] * WIDTH])
_forward = forward_samples(EXTREME, True)


def _samples(rng: np.random.Generator) -> dict[str, Sample]:
    return dict(_forward(rng)) | {
        "masked rows": Sample((MASKED, np.array([3])), finite=False),
        "many rows, nonfinite": Sample((NONFINITE, np.array([len(NONFINITE)])), finite=False),
    }


def _backprop_samples(rng: np.random.Generator) -> dict[str, Sample]:
    return {
        label: Sample(
            (rng.normal(0, 1, sample.args[0].shape), softmax_sequences(*sample.args), sample.args[1]),
            dtypes=sample.dtypes,
            layout=sample.layout,
            finite=sample.finite,
        )
        for label, sample in _forward(rng).items()
    }


def _smooth() -> Any:
    return np.random.default_rng(13).normal(0, 1, (10, WIDTH))


def _backprop(ops: Any, dY: Any, Xs: Any) -> tuple[Any, ...]:
    counts = ops.asarray(GAPS)
    return (ops.backprop_softmax_sequences(dY, ops.softmax_sequences(Xs, counts), counts),)


CASES = (
    OpCase(
        "softmax_sequences",
        softmax_sequences,
        _samples,
        (
            BadCall(RANK.why, RANK.args, ShapeError, "Xs must have 2 dimensions"),
            *bad_lengths("Xs", X, empty=True),
        ),
    ),
    OpCase(
        "backprop_softmax_sequences",
        backprop_softmax_sequences,
        _backprop_samples,
        (
            BadCall("a vector", (X[0], X[0], lengths), ShapeError, "dY must have 2 dimensions"),
            BadCall("shapes", (X, X[:9], lengths), ShapeError, r"Y must have shape \(10, 5\)"),
            BadCall("Y of integers", (X, X.astype("int32"), lengths), DTypeError, "Y must be a floating array"),
            *(bad for bad in bad_lengths("dY", X, X, empty=True) if bad.why != "no sequence"),
        ),
        {
            "": Gradient(
                lambda ops, Xs: ops.softmax_sequences(Xs, ops.asarray(GAPS)),
                (_smooth(),),
                _backprop,
            )
        },
    ),
)
