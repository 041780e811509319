"""Softmax down the rows of each sequence. Loops run along the columns, threads over sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import floats, matrix
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.integers import starts_of
from triops.backends.numpy.compiled.jit import called
from triops.backends.numpy.compiled.scalar import F, exp, keep_nan

__all__ = [
    "BACKPROP_SOFTMAX",
    "SEQUENCES",
    "SOFTMAX",
    "backprop_softmax_of_sequence",
    "softmax_of_sequence",
]

_THRESHOLD = 8  # sequences from which a second thread pays
_LOWEST = F(-np.inf)


@called
def softmax_of_sequence(X: Any, first: int, end: int, Y: Any, top: Any, total: Any) -> None:
    for j in range(X.shape[1]):
        top[j] = _LOWEST
        total[j] = F(0)
    # A NaN is not above: it comes back with the exponentials.
    for t in range(first, end):
        for j in range(X.shape[1]):
            top[j] = X[t, j] if X[t, j] > top[j] else top[j]
    for t in range(first, end):
        for j in range(X.shape[1]):
            x = X[t, j] - top[j]
            e = keep_nan(x, exp(x))
            Y[t, j] = e
            total[j] += e
    for j in range(X.shape[1]):
        total[j] = F(1) / total[j]
    for t in range(first, end):
        for j in range(X.shape[1]):
            Y[t, j] *= total[j]


@called
def backprop_softmax_of_sequence(dY: Any, Y: Any, first: int, end: int, dX: Any, total: Any) -> None:
    for j in range(Y.shape[1]):
        total[j] = F(0)
    for t in range(first, end):
        for j in range(Y.shape[1]):
            total[j] += Y[t, j] * dY[t, j]
    for t in range(first, end):
        for j in range(Y.shape[1]):
            dX[t, j] = Y[t, j] * (dY[t, j] - total[j])


def softmax_of_sequences(X: Any, starts: Any, Y: Any, tops: Any, totals: Any, start: int) -> None:
    for n in range(tops.shape[0]):
        softmax_of_sequence(X, starts[start + n], starts[start + n + 1], Y, tops[n], totals[n])


def backprop_softmax_of_sequences(dY: Any, Y: Any, starts: Any, dX: Any, totals: Any, start: int) -> None:
    for n in range(totals.shape[0]):
        backprop_softmax_of_sequence(dY, Y, starts[start + n], starts[start + n + 1], dX, totals[n])


SOFTMAX = Kernel(softmax_of_sequences, globals(), {"tops": 1, "totals": 1}, threshold=_THRESHOLD)
BACKPROP_SOFTMAX = Kernel(backprop_softmax_of_sequences, globals(), {"totals": 1}, threshold=_THRESHOLD)


def softmax_sequences(Xs: Any, lengths: Any) -> Any:
    Y = floats(Xs.shape)
    if Y.size:
        shape = (len(lengths), Xs.shape[1])
        tops, totals = floats(shape), floats(shape)
        SOFTMAX.run(len(lengths), matrix(Xs), starts_of(lengths), Y, tops, totals)
    return Y


def backprop_softmax_sequences(dY: Any, Y: Any, lengths: Any) -> Any:
    dX = floats(Y.shape)
    if dX.size:
        totals = floats((len(lengths), Y.shape[1]))
        BACKPROP_SOFTMAX.run(len(lengths), matrix(dY), matrix(Y), starts_of(lengths), dX, totals)
    return dX


SEQUENCES: Mapping[str, Callable[..., Any]] = {
    "softmax_sequences": softmax_sequences,
    "backprop_softmax_sequences": backprop_softmax_sequences,
}
