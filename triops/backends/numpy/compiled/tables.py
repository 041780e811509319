"""Rows of a table by number, and what is added to every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat
from triops.backends.numpy.compiled.build import Kernel

__all__ = ["TABLES"]

_THRESHOLD = 256  # rows from which a second thread pays
_PARTS = 8


def gather_rows(table: Any, indices: Any, out: Any) -> None:
    for i in range(indices.size):
        row = indices[i]
        for j in range(table.shape[1]):
            out[i, j] = table[row, j]


def scatter_rows(table: Any, indices: Any, values: Any, parts: int, part: int) -> None:
    # A slice owns the rows of one remainder, so that no two add to the same row, and every row is added to in
    # the order of the indices.
    for i in range(indices.size):
        row = indices[i]
        if row % parts == part:
            for j in range(table.shape[1]):
                table[row, j] += values[i, j]


def add_rows(Y: Any, b: Any) -> None:
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] += b[j]


_gather = Kernel(gather_rows, globals(), {"indices": 1, "out": 1}, threshold=_THRESHOLD)
_scatter = Kernel(scatter_rows, globals(), {}, threshold=_THRESHOLD)
_add_rows = Kernel(add_rows, globals(), {"Y": 1}, threshold=_THRESHOLD)


def gather(table: Any, indices: Any) -> Any:
    out = np.empty((*indices.shape, *table.shape[1:]), np.float32)
    rows = _matrix(table)
    _gather(indices.size, rows, flat(indices), out.reshape(indices.size, rows.shape[1]))
    return out


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    out = np.array(table, order="C")
    rows = out.reshape(len(out), -1) if out.size else out
    if values.size:
        _scatter(len(values), rows, flat(indices), _matrix(values), _PARTS, slices=_PARTS)
    return out


def affine(X: Any, W: Any, b: Any) -> Any:
    Y = np.matmul(X, W.T)
    if Y.size:
        _add_rows(len(Y), Y, flat(b))
    return Y


def _matrix(array: Any) -> Any:
    width = 1
    for extent in array.shape[1:]:
        width *= extent
    return flat(array).reshape(len(array), width)


TABLES: Mapping[str, Callable[..., Any]] = {
    "gather": gather,
    "scatter_add": scatter_add,
    "affine": affine,
}
