"""What ops ask of indices and lengths: one pass and no temporary array, since every call pays for it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat
from triops.backends.numpy.compiled.build import on_one_thread

__all__ = ["bounds_of", "extremes", "starts_of"]

_DTYPES = frozenset(map(np.dtype, ("int32", "int64", "uint32")))


def lowest_highest_sum(integers: Any) -> Any:
    lowest, highest, total = np.int64(integers[0]), np.int64(integers[0]), np.int64(0)
    for i in range(integers.size):
        value = np.int64(integers[i])
        lowest, highest = min(lowest, value), max(highest, value)
        total += value
    return lowest, highest, total


def running_sums(lengths: Any, starts: Any) -> None:
    starts[0] = 0
    for n in range(lengths.size):
        starts[n + 1] = starts[n] + np.int64(lengths[n])


def spread_bounds(starts: Any, first: Any, end: Any) -> None:
    for n in range(starts.size - 1):
        for t in range(starts[n], starts[n + 1]):
            first[t] = starts[n]
            end[t] = starts[n + 1]


_running_sums = on_one_thread(running_sums, globals())
_spread_bounds = on_one_thread(spread_bounds, globals())
_extremes = on_one_thread(lowest_highest_sum, globals())


def extremes(integers: Any) -> tuple[int, int, int]:
    """The lowest, the highest and the sum of at least one integer."""
    if integers.dtype in _DTYPES:
        found: tuple[int, int, int] = _extremes(flat(integers))
        return found
    return int(integers.min()), int(integers.max()), int(integers.sum())


def starts_of(lengths: Any) -> Any:
    """The first row of each sequence, and the number of all rows."""
    starts = np.empty(len(lengths) + 1, np.int64)
    _running_sums(flat(lengths if lengths.dtype in _DTYPES else lengths.astype(np.int64)), starts)
    return starts


def bounds_of(lengths: Any, rows: int) -> tuple[Any, Any]:
    """Of each row the first of its sequence, and the one after the last; one sequence where lengths is None."""
    if lengths is None:
        return _bounds_of_one(rows)
    first, end = np.empty(rows, np.int64), np.empty(rows, np.int64)
    _spread_bounds(starts_of(lengths), first, end)
    return first, end


@lru_cache(maxsize=4)  # all windows of a step ask for the same
def _bounds_of_one(rows: int) -> tuple[Any, Any]:
    return np.zeros(rows, np.int64), np.full(rows, rows, np.int64)
