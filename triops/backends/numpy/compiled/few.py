"""Kernels for direct calls with lengths and places of rows, at which the ops would look first. They return 1, and
the op is called, where these are not what it takes. Sums are taken in the order of the kernels for many rows."""

from __future__ import annotations

from typing import Any

from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.jit import called
from triops.backends.numpy.compiled.losses import label_rows
from triops.backends.numpy.compiled.reductions import (
    backprop_max_sequences,
    max_sequences,
    spread_sequences,
    sum_sequences,
)
from triops.backends.numpy.compiled.scalar import F
from triops.backends.numpy.compiled.scratch import empty
from triops.backends.numpy.compiled.sequences import backprop_softmax_of_sequence, softmax_of_sequence

__all__ = ["FEW"]

_THRESHOLD = 16_384  # entries from which more threads pay

_sum, _max, _spread = called(sum_sequences), called(max_sequences), called(spread_sequences)
_backprop_max, _label = called(backprop_max_sequences), called(label_rows)


@called
def add_up(lengths: Any, rows: int, least: int) -> bool:
    """Whether lengths are from `least` on, and all rows together."""
    total, fit = 0, True
    for n in range(lengths.size):
        fit = fit and lengths[n] >= least
        total += lengths[n]
    return fit and total == rows


@called
def in_range(places: Any, count: int) -> bool:
    """Whether places are from 0 to before a count."""
    fit = True
    for i in range(places.size):
        fit = fit and places[i] >= 0 and places[i] < count
    return fit


def reduce_sum_few(X: Any, lengths: Any, Y: Any, mean: int) -> int:
    if not add_up(lengths, X.shape[0], 0):
        return 1
    _sum(X, lengths, Y, mean, 0)
    return 0


def reduce_max_few(X: Any, lengths: Any, Y: Any, which: Any) -> int:
    if not add_up(lengths, X.shape[0], 1):
        return 1
    _max(X, lengths, Y, which, 0)
    return 0


def reduce_last_few(X: Any, lengths: Any, Y: Any, lasts: Any) -> int:
    if not add_up(lengths, X.shape[0], 1):
        return 1
    end = 0
    for n in range(lengths.size):
        end += lengths[n]
        lasts[n] = end - 1
        for j in range(X.shape[1]):
            Y[n, j] = X[end - 1, j]
    return 0


def backprop_reduce_sum_few(d_sums: Any, lengths: Any, dX: Any, mean: int) -> int:
    if not add_up(lengths, dX.shape[0], 0):
        return 1
    _spread(d_sums, lengths, dX, mean, 0)
    return 0


def backprop_reduce_max_few(d_maxes: Any, which: Any, lengths: Any, dX: Any) -> int:
    if not add_up(lengths, dX.shape[0], 1):
        return 1
    _backprop_max(d_maxes, which, lengths, dX, 0)
    return 0


def softmax_sequences_few(X: Any, lengths: Any, Y: Any) -> int:
    if not add_up(lengths, X.shape[0], 0):
        return 1
    top, total, end = empty((X.shape[1],)), empty((X.shape[1],)), 0
    for n in range(lengths.size):
        first, end = end, end + lengths[n]
        softmax_of_sequence(X, first, end, Y, top, total)
    return 0


def backprop_softmax_sequences_few(dY: Any, Y: Any, lengths: Any, dX: Any) -> int:
    if not add_up(lengths, Y.shape[0], 0):
        return 1
    total, end = empty((Y.shape[1],)), 0
    for n in range(lengths.size):
        first, end = end, end + lengths[n]
        backprop_softmax_of_sequence(dY, Y, first, end, dX, total)
    return 0


def seq2col_few(X: Any, lengths: Any, Y: Any, nW: int) -> int:
    if not add_up(lengths, X.shape[0], 0):
        return 1
    end = 0
    for n in range(lengths.size):
        first, end = end, end + lengths[n]
        for i in range(first, end):
            for k in range(2 * nW + 1):
                t = i + k - nW
                if first <= t < end:
                    for j in range(X.shape[1]):
                        Y[i, k, j] = X[t, j]
                else:
                    for j in range(X.shape[1]):
                        Y[i, k, j] = F(0)
    return 0


def backprop_seq2col_few(dY: Any, lengths: Any, dX: Any, columns: int) -> int:
    if columns % 3 != 0 or not add_up(lengths, dX.shape[0], 0):
        return 1
    end = 0
    for n in range(lengths.size):
        first, end = end, end + lengths[n]
        for i in range(first, end):
            for j in range(dX.shape[1]):
                dX[i, j] = dY[i, 1, j]
            if i > first:
                for j in range(dX.shape[1]):
                    dX[i, j] += dY[i - 1, 2, j]
            if i + 1 < end:
                for j in range(dX.shape[1]):
                    dX[i, j] += dY[i + 1, 0, j]
    return 0


def label_cross_entropy_few(Y: Any, labels: Any, losses: Any, dX: Any, scale: Any) -> int:
    if not in_range(labels, Y.shape[1]):
        return 1
    _label(Y, labels, losses, dX, scale)
    return 0


def scatter_add_few(table: Any, indices: Any, values: Any, out: Any) -> int:
    if not in_range(indices, table.shape[0]):
        return 1
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            out[i, j] = table[i, j]
    for i in range(indices.size):
        row = indices[i]
        for j in range(table.shape[1]):
            out[row, j] += values[i, j]
    return 0


def gather_few(table: Any, indices: Any, Y: Any) -> int:
    if not in_range(indices, table.shape[0]):
        return 1
    for i in range(indices.size):
        row = indices[i]
        for j in range(table.shape[1]):
            Y[i, j] = table[row, j]
    return 0


def gather_add_few(table: Any, indices: Any, Y: Any) -> int:
    if not in_range(indices, table.shape[0]):
        return 1
    each = indices.size // Y.shape[0]
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = F(0)
        for k in range(each):
            row = indices[i * each + k]
            for j in range(Y.shape[1]):
                Y[i, j] += table[row, j]
    return 0


def backprop_gather_add_few(dY: Any, indices: Any, dE: Any) -> int:
    if not in_range(indices, dE.shape[0]):
        return 1
    each = indices.size // dY.shape[0]
    for i in range(indices.size):
        row = indices[i]
        for j in range(dY.shape[1]):
            dE[row, j] += dY[i // each, j]
    return 0


def embedding_bag_few(table: Any, indices: Any, grid: Any, lengths: Any, Y: Any) -> int:
    if not (in_range(indices, table.shape[0]) and add_up(lengths, grid.shape[0], 0)):
        return 1
    end = 0
    for n in range(lengths.size):
        first, end = end, end + grid.shape[1] * lengths[n]
        for j in range(Y.shape[1]):
            Y[n, j] = F(0)
        for i in range(first, end):
            row = indices[i]
            for j in range(Y.shape[1]):
                Y[n, j] += table[row, j]
    return 0


def backprop_embedding_bag_few(dY: Any, indices: Any, grid: Any, lengths: Any, dE: Any) -> int:
    if not (in_range(indices, dE.shape[0]) and add_up(lengths, grid.shape[0], 0)):
        return 1
    end = 0
    for n in range(lengths.size):
        first, end = end, end + grid.shape[1] * lengths[n]
        for i in range(first, end):
            row = indices[i]
            for j in range(dE.shape[1]):
                dE[row, j] += dY[n, j]
    return 0


FEW = {
    function.__name__.removesuffix("_few"): Kernel(function, globals(), {}, threshold=_THRESHOLD)
    for function in (
        reduce_sum_few, reduce_max_few, reduce_last_few, backprop_reduce_sum_few, backprop_reduce_max_few,
        softmax_sequences_few, backprop_softmax_sequences_few, seq2col_few, backprop_seq2col_few,
        label_cross_entropy_few, scatter_add_few, gather_few, gather_add_few, backprop_gather_add_few,
        embedding_bag_few, backprop_embedding_bag_few,
    )
}  # fmt: skip
