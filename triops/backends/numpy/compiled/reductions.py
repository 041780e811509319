"""One row a sequence, and windows of rows. Loops run along the columns, threads over sequences or rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat, floats, matrix, zeros
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.integers import (
    PLACE_IN_32_BITS,
    bounds_of,
    lasts_of,
    plain,
    rows_before,
    starts_of,
    wide,
)
from triops.backends.numpy.compiled.scalar import F, I

__all__ = ["REDUCTIONS"]

_SEQUENCES = 32  # sequences from which a second thread pays
_ROWS = 256  # rows from which a second thread pays


def sum_sequences(X: Any, lengths: Any, Y: Any, mean: Any, start: int) -> None:
    end = rows_before(lengths, start)
    for n in range(Y.shape[0]):
        first, end = end, end + lengths[start + n]
        for j in range(Y.shape[1]):
            Y[n, j] = F(0)
        # Eight rows at a time: Y is read once for them, and a sum of short sums keeps more digits.
        t = first
        while t + 8 <= end:
            for j in range(Y.shape[1]):
                front = (X[t, j] + X[t + 1, j]) + (X[t + 2, j] + X[t + 3, j])
                back = (X[t + 4, j] + X[t + 5, j]) + (X[t + 6, j] + X[t + 7, j])
                Y[n, j] += front + back
            t += 8
        for s in range(t, end):
            for j in range(Y.shape[1]):
                Y[n, j] += X[s, j]
        if mean and end > first:
            count = F(end - first)
            for j in range(Y.shape[1]):
                Y[n, j] /= count


def max_sequences(X: Any, lengths: Any, Y: Any, which: Any, start: int) -> None:
    end = rows_before(lengths, start)
    for n in range(Y.shape[0]):
        first, end = end, end + lengths[start + n]
        for j in range(Y.shape[1]):
            Y[n, j] = X[first, j]
            which[n, j] = I(0)
        for t in range(first + 1, end):
            here = I(t - first)
            for j in range(Y.shape[1]):
                x, top = X[t, j], Y[n, j]
                better = (x > top) | ((x != x) & (top == top))
                Y[n, j] = x if better else top
                which[n, j] = here if better else which[n, j]


def spread_sequences(d_reduced: Any, lengths: Any, dX: Any, mean: Any, start: int) -> None:
    end = rows_before(lengths, start)
    for n in range(d_reduced.shape[0]):
        first, end = end, end + lengths[start + n]
        share = F(1) / F(end - first) if mean else F(1)
        for t in range(first, end):
            for j in range(dX.shape[1]):
                dX[t, j] = d_reduced[n, j] * share


def place_rows(d_rows: Any, places: Any, dX: Any) -> None:
    for i in range(d_rows.shape[0]):
        t = np.int64(places[i])
        for j in range(dX.shape[1]):
            dX[t, j] = d_rows[i, j]


def backprop_max_sequences(d_maxes: Any, which: Any, lengths: Any, dX: Any, start: int) -> None:
    end = rows_before(lengths, start)
    for n in range(d_maxes.shape[0]):
        first, end = end, end + lengths[start + n]
        for t in range(first, end):
            for j in range(dX.shape[1]):
                dX[t, j] = F(0)
        for j in range(dX.shape[1]):
            t = which[n, j]
            if 0 <= t < end - first:
                dX[first + t, j] = d_maxes[n, j]


# Windows are three-dimensional here: a column's number that is computed keeps the loop from being vectorised.
def window_rows(X: Any, first: Any, end: Any, Y: Any, nW: int, start: int) -> None:
    for i in range(Y.shape[0]):
        for k in range(2 * nW + 1):
            t = start + i + k - nW
            if first[i] <= t < end[i]:
                for j in range(X.shape[1]):
                    Y[i, k, j] = X[t, j]
            else:
                for j in range(X.shape[1]):
                    Y[i, k, j] = F(0)


def backprop_window_rows(dY: Any, first: Any, end: Any, dX: Any, nW: int, start: int) -> None:
    for i in range(dX.shape[0]):
        # One neighbour on each side, and both there, is what most rows have: one pass instead of three.
        t = start + i
        if nW == 1 and first[i] < t and t + 1 < end[i]:
            for j in range(dX.shape[1]):
                dX[i, j] = (dY[t, 1, j] + dY[t - 1, 2, j]) + dY[t + 1, 0, j]
            continue
        for j in range(dX.shape[1]):
            dX[i, j] = dY[start + i, nW, j]
        for k in range(2 * nW + 1):
            t = start + i - k + nW
            if k != nW and first[i] <= t < end[i]:
                for j in range(dX.shape[1]):
                    dX[i, j] += dY[t, k, j]


_sum = Kernel(sum_sequences, globals(), {"Y": 1}, threshold=_SEQUENCES)
_max = Kernel(max_sequences, globals(), {"Y": 1, "which": 1}, threshold=_SEQUENCES)
_spread = Kernel(spread_sequences, globals(), {"d_reduced": 1}, threshold=_SEQUENCES)
_place = Kernel(place_rows, globals(), {"d_rows": 1, "places": 1}, threshold=_ROWS)
_backprop_max = Kernel(backprop_max_sequences, globals(), {"d_maxes": 1, "which": 1}, threshold=_SEQUENCES)
_window = Kernel(window_rows, globals(), {"first": 1, "end": 1, "Y": 1}, threshold=_ROWS)
_backprop_window = Kernel(backprop_window_rows, globals(), {"first": 1, "end": 1, "dX": 1}, threshold=_ROWS)


def reduce_sum(X: Any, lengths: Any) -> Any:
    return _summed(X, lengths, mean=False)


def reduce_mean(X: Any, lengths: Any) -> Any:
    return _summed(X, lengths, mean=True)


def reduce_max(X: Any, lengths: Any) -> tuple[Any, Any]:
    shape = (len(lengths), X.shape[1])
    Y, which = floats(shape), np.empty(shape, PLACE_IN_32_BITS)
    if Y.size:
        _max.run(len(Y), matrix(X), wide(lengths), Y, which)
    return Y, which


def reduce_first(X: Any, lengths: Any) -> tuple[Any, Any]:
    starts_ends = starts_of(lengths, PLACE_IN_32_BITS)
    return X.take(starts_ends[:-1], axis=0), starts_ends


def reduce_last(X: Any, lengths: Any) -> tuple[Any, Any]:
    lasts = lasts_of(lengths)
    return X.take(lasts, axis=0), lasts


def backprop_reduce_sum(d_sums: Any, lengths: Any, *, rows: int) -> Any:
    return _shared(d_sums, lengths, rows, mean=False)


def backprop_reduce_mean(d_means: Any, lengths: Any, *, rows: int) -> Any:
    return _shared(d_means, lengths, rows, mean=True)


def backprop_reduce_first(d_firsts: Any, starts_ends: Any, *, rows: int) -> Any:
    return _placed(d_firsts, starts_ends[:-1], rows)


def backprop_reduce_last(d_lasts: Any, lasts: Any, *, rows: int) -> Any:
    return _placed(d_lasts, lasts, rows)


def backprop_reduce_max(d_maxes: Any, which: Any, lengths: Any, *, rows: int) -> Any:
    dX = floats((rows, d_maxes.shape[1]))
    if dX.size:
        winners = matrix(which if which.dtype is PLACE_IN_32_BITS else which.astype(PLACE_IN_32_BITS))
        _backprop_max.run(len(d_maxes), matrix(d_maxes), winners, wide(lengths), dX)
    return dX


def seq2col(X: Any, lengths: Any, *, nW: int) -> Any:
    Y = floats((X.shape[0], (2 * nW + 1) * X.shape[1]))
    if Y.size:
        _window.run(len(Y), matrix(X), *bounds_of(lengths, len(X)), Y.reshape(len(Y), 2 * nW + 1, -1), nW)
    return Y


def backprop_seq2col(dY: Any, lengths: Any, *, nW: int) -> Any:
    dX = floats((dY.shape[0], dY.shape[1] // (2 * nW + 1)))
    if dX.size:
        windows = flat(dY).reshape(len(dY), 2 * nW + 1, -1)
        _backprop_window.run(len(dX), windows, *bounds_of(lengths, len(dX)), dX, nW)
    return dX


def _summed(X: Any, lengths: Any, *, mean: bool) -> Any:
    Y = floats((len(lengths), X.shape[1]))
    if Y.size:
        _sum.run(len(Y), matrix(X), wide(lengths), Y, mean)
    return Y


def _shared(d_reduced: Any, lengths: Any, rows: int, *, mean: bool) -> Any:
    dX = floats((rows, d_reduced.shape[1]))
    if dX.size:
        _spread.run(len(d_reduced), matrix(d_reduced), wide(lengths), dX, mean)
    return dX


def _placed(d_rows: Any, places: Any, rows: int) -> Any:
    dX = zeros((rows, d_rows.shape[1]))
    if d_rows.size:
        _place.run(len(d_rows), matrix(d_rows), plain(places), dX)
    return dX


REDUCTIONS: Mapping[str, Callable[..., Any]] = {
    "reduce_sum": reduce_sum,
    "reduce_mean": reduce_mean,
    "reduce_max": reduce_max,
    "reduce_first": reduce_first,
    "reduce_last": reduce_last,
    "backprop_reduce_sum": backprop_reduce_sum,
    "backprop_reduce_mean": backprop_reduce_mean,
    "backprop_reduce_max": backprop_reduce_max,
    "backprop_reduce_first": backprop_reduce_first,
    "backprop_reduce_last": backprop_reduce_last,
    "seq2col": seq2col,
    "backprop_seq2col": backprop_seq2col,
}
