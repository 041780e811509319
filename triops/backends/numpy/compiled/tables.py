"""Rows of a table by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat, matrix
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.integers import starts_of
from triops.backends.numpy.compiled.jit import inlined
from triops.backends.numpy.compiled.scalar import F
from triops.backends.threads import get_num_threads

__all__ = ["TABLES"]

_INDEX = np.dtype(np.int64)
_THRESHOLD = 256  # rows from which a second thread pays
_BAGS_THRESHOLD = 16
_COPIED = 32_768  # entries from which a second thread pays
_MANY = 4  # values for each row of a table from which a second table pays


def gather_rows(table: Any, indices: Any, out: Any) -> None:
    for i in range(indices.size):
        row = indices[i]
        for j in range(table.shape[1]):
            out[i, j] = table[row, j]


def copy_entries(X: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = X[i]


def add_entries(X: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] += X[i]


def scatter_rows(first: Any, second: Any, indices: Any, values: Any, mask: int, part: int) -> None:
    # A slice owns the rows of one remainder, so that no two add to the same row, and every row is added to in
    # the order of the indices. Who skips rows of the values loads them nevertheless: where they are many, their
    # second half goes to another table.
    half = indices.size // 2 if second.size else indices.size
    table, begin, end, own = first, 0, half, part & mask
    if part > mask:
        table, begin, end = second, half, indices.size
        for r in range(own, table.shape[0], mask + 1):
            for j in range(table.shape[1]):
                table[r, j] = F(0)
    for i in range(begin, end):
        row = np.int64(indices[i])
        if row & mask == own:
            for j in range(table.shape[1]):
                table[row, j] += values[i, j]


def gather_add_rows(table: Any, indices: Any, out: Any) -> None:
    # Four rows at a time, as many as an id has hashes: the sum is read and written once for them.
    fours = indices.shape[1] // 4 * 4
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = F(0)
        for k in range(0, fours, 4):
            a, b, c, d = indices[i, k], indices[i, k + 1], indices[i, k + 2], indices[i, k + 3]
            for j in range(out.shape[1]):
                out[i, j] += (table[a, j] + table[b, j]) + (table[c, j] + table[d, j])
        for k in range(fours, indices.shape[1]):
            a = indices[i, k]
            for j in range(out.shape[1]):
                out[i, j] += table[a, j]


def scatter_sums(table: Any, indices: Any, dY: Any, mask: int, part: int) -> None:
    # As in scatter_rows, a slice owns the rows of one remainder.
    for i in range(indices.shape[0]):
        for k in range(indices.shape[1]):
            row = indices[i, k]
            if row & mask == part:
                for j in range(table.shape[1]):
                    table[row, j] += dY[i, j]


@inlined
def share_of(count: int, mean: bool) -> Any:
    """The share of a row of a bag in its result."""
    return F(1.0 / max(count, 1)) if mean else F(1)


def bag_rows(table: Any, indices: Any, starts: Any, mean: bool, out: Any, start: int) -> None:
    # Four at a time, as a hash gives them: each reading and writing of the sum counts.
    fours = indices.shape[1] // 4 * 4
    for n in range(out.shape[0]):
        first, end = starts[start + n], starts[start + n + 1]
        for j in range(out.shape[1]):
            out[n, j] = F(0)
        for t in range(first, end):
            for k in range(0, fours, 4):
                a, b, c, d = indices[t, k], indices[t, k + 1], indices[t, k + 2], indices[t, k + 3]
                for j in range(out.shape[1]):
                    out[n, j] += (table[a, j] + table[b, j]) + (table[c, j] + table[d, j])
            for k in range(fours, indices.shape[1]):
                a = indices[t, k]
                for j in range(out.shape[1]):
                    out[n, j] += table[a, j]
        share = share_of(end - first, mean)
        for j in range(out.shape[1]):
            out[n, j] *= share


def scatter_bags(table: Any, indices: Any, starts: Any, mean: bool, dY: Any, mask: int, part: int) -> None:
    # As in scatter_rows, a slice owns the rows of one remainder.
    for n in range(dY.shape[0]):
        share = share_of(starts[n + 1] - starts[n], mean)
        for t in range(starts[n], starts[n + 1]):
            for k in range(indices.shape[1]):
                row = np.int64(indices[t, k])
                if row & mask == part:
                    for j in range(table.shape[1]):
                        table[row, j] += dY[n, j] * share


_gather = Kernel(gather_rows, globals(), {"indices": 1, "out": 1}, threshold=_THRESHOLD)
_copy = Kernel(copy_entries, globals(), {"X": 1, "out": 1}, threshold=_COPIED)
_add = Kernel(add_entries, globals(), {"X": 1, "out": 1}, threshold=_COPIED)
_scatter = Kernel(scatter_rows, globals(), {}, threshold=_THRESHOLD)
_gather_add = Kernel(gather_add_rows, globals(), {"indices": 1, "out": 1}, threshold=_THRESHOLD)
_scatter_sums = Kernel(scatter_sums, globals(), {}, threshold=_THRESHOLD)
_bag = Kernel(bag_rows, globals(), {"out": 1}, threshold=_BAGS_THRESHOLD)
_scatter_bags = Kernel(scatter_bags, globals(), {}, threshold=_THRESHOLD)


def gather(table: Any, indices: Any) -> Any:
    rows, places = _matrix(table), flat(_wide(indices))
    out = np.empty((*indices.shape, *table.shape[1:]), np.float32)
    lie_so = indices.ndim == 1 and table.ndim == 2
    _gather(len(places), rows, places, out if lie_so else out.reshape(len(places), rows.shape[1]))
    return out


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    if len(values) < _THRESHOLD:
        out = np.array(table, order="C")
    else:  # by the threads that then add to it: else it would only move from one core's cache to another's
        out = np.empty(table.shape, np.float32)
        _copy(out.size, flat(table), out.ravel())
    rows = out.reshape(len(out), -1) if out.size else out
    if values.size:
        # Whatever the number of threads, so that it changes no result.
        halves = 2 if len(values) >= max(_MANY * len(rows), _THRESHOLD) else 1
        second = np.empty(rows.shape if halves == 2 else (0, 0), np.float32)
        owners = max(1, _owners(len(values)) // halves)
        _scatter(
            len(values), rows, second, flat(_wide(indices)), _matrix(values), owners - 1, slices=halves * owners
        )
        if halves == 2:
            _add(second.size, second.ravel(), rows.ravel())
    return out


def gather_add(table: Any, indices: Any) -> Any:
    out = np.empty((len(indices), table.shape[1]), np.float32)
    _gather_add(len(out), matrix(table), matrix(_wide(indices)), out)
    return out


def backprop_gather_add(dY: Any, indices: Any, *, nV: int) -> Any:
    out = np.zeros((nV, dY.shape[1]), np.float32)
    if indices.size:
        owners = _owners(len(dY))
        _scatter_sums(len(dY), out, matrix(_wide(indices)), matrix(dY), owners - 1, slices=owners)
    return out


def embedding_bag(table: Any, indices: Any, lengths: Any, *, mean: bool) -> Any:
    out = np.empty((len(lengths), table.shape[1]), np.float32)
    if out.size:
        _bag(len(out), matrix(table), matrix(_wide(indices)), starts_of(lengths), mean, out)
    return out


def backprop_embedding_bag(dY: Any, indices: Any, lengths: Any, *, nV: int, mean: bool) -> Any:
    out = np.zeros((nV, dY.shape[1]), np.float32)
    if indices.size:
        starts, owners = starts_of(lengths), _owners(len(indices))
        _scatter_bags(
            len(indices), out, matrix(_wide(indices)), starts, mean, matrix(dY), owners - 1, slices=owners
        )
    return out


def _wide(indices: Any) -> Any:
    """Indices of any width as one, so that kernels are not compiled for each."""
    return indices if indices.dtype is _INDEX else indices.astype(np.int64)


def _owners(rows: int) -> int:
    """How many share the rows of a table. Each reads all indices: no more than threads. A power of two: a mask
    gives remainders."""
    return 2 ** (get_num_threads() - 1).bit_length() if rows >= _THRESHOLD else 1


def _matrix(array: Any) -> Any:
    """A row for each entry of the first dimension."""
    if array.ndim == 2:
        return matrix(array)
    width = 1
    for extent in array.shape[1:]:
        width *= extent
    return flat(array).reshape(len(array), width)


TABLES: Mapping[str, Callable[..., Any]] = {
    "gather": gather,
    "scatter_add": scatter_add,
    "gather_add": gather_add,
    "backprop_gather_add": backprop_gather_add,
    "embedding_bag": embedding_bag,
    "backprop_embedding_bag": backprop_embedding_bag,
}
