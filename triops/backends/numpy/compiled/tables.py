"""Rows of a table by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat, floats, matrix, zeros
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.integers import starts_of, wide
from triops.backends.numpy.compiled.row_sums import sum_rows
from triops.backends.threads import get_num_threads

__all__ = ["TABLES"]

_INDEX = np.dtype(np.int64)
_THRESHOLD = 256  # rows from which a second thread pays
_OFTEN = 2  # times that a row comes on average, from which it pays to put them in order
_COPIED = 65_536  # entries from which a second thread pays


def gather_rows(table: Any, indices: Any, out: Any) -> None:
    for i in range(indices.size):
        row = indices[i]
        for j in range(table.shape[1]):
            out[i, j] = table[row, j]


def copy_entries(X: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = X[i]


def scatter_rows(table: Any, indices: Any, values: Any, mask: int, part: int) -> None:
    # A slice owns the rows of one remainder, so that no two add to the same row, and every row is added to in
    # the order of the indices.
    for i in range(indices.size):
        row = np.int64(indices[i])
        if row & mask == part:
            for j in range(table.shape[1]):
                table[row, j] += values[i, j]


def sum_bags(table: Any, rows: Any, bounds: Any, out: Any, start: int) -> None:
    for n in range(out.shape[0]):
        sum_rows(table, rows, bounds[start + n], bounds[start + n + 1], out, n)


def scatter_bags(dY: Any, rows: Any, bounds: Any, dE: Any, shift: int, part: int) -> None:
    # As in scatter_rows, a slice owns the rows of one remainder.
    mask = (1 << shift) - 1
    for n in range(dY.shape[0]):
        for i in range(bounds[n], bounds[n + 1]):
            row = rows[i]
            if row & mask == part:
                for j in range(dE.shape[1]):
                    dE[row, j] += dY[n, j]


def sum_bags_by_row(dY: Any, rows: Any, bounds: Any, dE: Any, shift: int, part: int) -> None:
    # The same, for rows that come often. A slice lists the bags that its rows were in, and puts them in the order
    # of the rows, so that each is written once, with its sum: to add to rows here and there in memory, which were
    # added to just before, takes longer than all of this.
    mask = (1 << shift) - 1
    owned, bags = np.empty(rows.size + 1, np.uint32), np.empty(rows.size + 1, np.uint32)
    count = np.uint64(0)
    for n in range(dY.shape[0]):
        bag = rows[bounds[n] : bounds[n + 1]]
        for i in range(bag.size):
            # What is not its own is written over: a branch would be guessed wrong half of the time.
            owned[count] = bag[i] >> shift
            bags[count] = n
            count += np.uint64(bag[i] & mask == part)
    places = np.zeros((dE.shape[0] >> shift) + 1, np.int64)
    for i in range(count):
        places[np.uint64(owned[i])] += 1
    first = 0
    for row in range(places.size):
        first, places[row] = first + places[row], first
    ordered = np.empty(count, np.int64)
    for i in range(count):
        at = np.uint64(owned[i])
        ordered[np.uint64(places[at])] = bags[i]
        places[at] += 1
    first = 0
    for row in range(places.size):
        if places[row] > first:
            sum_rows(dY, ordered, first, places[row], dE, (row << shift) + part)
            first = places[row]


_gather = Kernel(gather_rows, globals(), {"indices": 1, "out": 1}, threshold=_THRESHOLD)
_copy = Kernel(copy_entries, globals(), {"X": 1, "out": 1}, threshold=_COPIED)
_scatter = Kernel(scatter_rows, globals(), {}, threshold=_THRESHOLD)
_sum_bags = Kernel(sum_bags, globals(), {"out": 1}, threshold=_THRESHOLD)
_scatter_bags = Kernel(scatter_bags, globals(), {}, threshold=_THRESHOLD)
_sum_bags_by_row = Kernel(sum_bags_by_row, globals(), {}, threshold=_THRESHOLD)


def gather(table: Any, indices: Any) -> Any:
    if indices.size < _THRESHOLD and table.flags.c_contiguous:
        return table.take(indices, axis=0)
    rows, places = _matrix(table), wide(indices)
    out = floats((*indices.shape, *table.shape[1:]))
    _gather.run(len(places), rows, places, out.reshape(len(places), rows.shape[1]))
    return out


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    if len(values) < _THRESHOLD:
        out = np.array(table, order="C")
    else:  # by the threads that then add to it: else it would only move from one core's cache to another's
        out = floats(table.shape)
        _copy.run(out.size, flat(table), out.ravel())
    if values.size:
        owners = _owners(len(values))
        _scatter.run(len(values), _matrix(out), wide(indices), _matrix(values), owners - 1, slices=owners)
    return out


def gather_add(table: Any, indices: Any) -> Any:
    return _sums_of_bags(table, indices, _a_bag_each(*indices.shape))


def backprop_gather_add(dY: Any, indices: Any, *, nV: int) -> Any:
    return _by_row(dY, indices, _a_bag_each(*indices.shape), nV)


def embedding_bag(table: Any, indices: Any, lengths: Any, *, mean: bool) -> Any:
    Y = _sums_of_bags(table, indices, starts_of(lengths, each=indices.shape[1]))
    if mean:
        Y *= _shares(lengths)
    return Y


def backprop_embedding_bag(dY: Any, indices: Any, lengths: Any, *, nV: int, mean: bool) -> Any:
    bounds = starts_of(lengths, each=indices.shape[1])
    return _by_row(dY * _shares(lengths) if mean else dY, indices, bounds, nV)


@lru_cache(maxsize=4)  # the gradient asks for the same
def _a_bag_each(rows: int, each: int) -> Any:
    """Each row of indices as a bag."""
    return each * np.arange(rows + 1, dtype=_INDEX)


def _shares(lengths: Any) -> Any:
    """The share of an entry of a bag in its mean."""
    return (1.0 / np.maximum(lengths, 1)).astype(np.float32)[:, None]


def _sums_of_bags(table: Any, indices: Any, bounds: Any) -> Any:
    out = floats((len(bounds) - 1, table.shape[1]))
    if out.size:
        _sum_bags.run(len(out), matrix(table), wide(indices), bounds, out, size=len(indices))
    return out


def _by_row(dY: Any, indices: Any, bounds: Any, nV: int) -> Any:
    """The sums of bags' gradients, by the rows of the table that were in them."""
    dE = zeros((nV, dY.shape[1]))
    if dE.size and indices.size:
        owners = _owners(len(indices))
        shift = owners.bit_length() - 1
        kernel = _sum_bags_by_row if indices.size >= _OFTEN * nV else _scatter_bags
        kernel.run(len(indices), matrix(dY), wide(indices), bounds, dE, shift, slices=owners)
    return dE


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
