"""What ops ask of indices and lengths: one pass and no temporary array, since every call pays for it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat
from triops.backends.numpy.compiled.build import on_one_thread
from triops.backends.numpy.compiled.counts import larger, smaller
from triops.backends.numpy.compiled.jit import called

__all__ = [
    "PLACE_IN_32_BITS",
    "bounds_of",
    "extremes",
    "lasts_of",
    "plain",
    "rises",
    "rows_before",
    "starts_of",
    "wide",
]

_DTYPES = frozenset(map(np.dtype, ("int32", "int64", "uint32")))
_empty = np.empty
_PLACE, PLACE_IN_32_BITS = np.dtype(np.int64), np.dtype(np.int32)


@called
def rows_before(lengths: Any, n: int) -> int:
    """The first row of sequence n."""
    total = 0
    for i in range(n):
        total += lengths[i]
    return total


def lowest_highest_sum(integers: Any) -> Any:
    lowest, highest, total = np.int64(integers[0]), np.int64(integers[0]), np.int64(0)
    for i in range(integers.size):
        value = np.int64(integers[i])
        lowest, highest = smaller(lowest, value), larger(highest, value)
        total += value
    return lowest, highest, total


def lowest_highest_rise(integers: Any) -> Any:
    lowest = highest = np.int64(integers[1]) - np.int64(integers[0])
    for i in range(2, integers.size):
        rise = np.int64(integers[i]) - np.int64(integers[i - 1])
        lowest, highest = smaller(lowest, rise), larger(highest, rise)
    return lowest, highest


def running_sums(lengths: Any, each: int, starts: Any) -> None:
    starts[0] = 0
    for n in range(lengths.size):
        starts[n + 1] = starts[n] + each * np.int64(lengths[n])


def last_rows(lengths: Any, lasts: Any) -> None:
    last = np.int64(-1)
    for n in range(lengths.size):
        last += np.int64(lengths[n])
        lasts[n] = last


def spread_bounds(lengths: Any, first: Any, end: Any) -> None:
    start = np.int64(0)
    for n in range(lengths.size):
        stop = start + np.int64(lengths[n])
        for t in range(start, stop):
            first[t] = start
            end[t] = stop
        start = stop


_running_sums = on_one_thread(running_sums, globals())
_last_rows = on_one_thread(last_rows, globals())
_spread_bounds = on_one_thread(spread_bounds, globals())
_extremes = on_one_thread(lowest_highest_sum, globals())
_rises = on_one_thread(lowest_highest_rise, globals())


def extremes(integers: Any) -> tuple[int, int, int]:
    """The lowest, the highest and the sum of at least one integer."""
    if integers.dtype in _DTYPES:
        lies_in_one = integers.ndim == 1 and integers.flags.carray
        found: tuple[int, int, int] = _extremes(integers if lies_in_one else flat(integers))
        return found
    return int(integers.min()), int(integers.max()), int(integers.sum())


def rises(integers: Any) -> tuple[int, int]:
    """The least and the most that one of at least two integers is above the one before it."""
    found: tuple[int, int] = _rises(plain(integers))
    return found


def plain(integers: Any) -> Any:
    """The same in one dimension, of a dtype that kernels are compiled for."""
    return flat(integers if integers.dtype in _DTYPES else integers.astype(_PLACE))


def wide(integers: Any) -> Any:
    """The same in one dimension, and of one width, so that kernels are not compiled for each."""
    return flat(integers if integers.dtype is _PLACE else integers.astype(_PLACE))


def starts_of(lengths: Any, dtype: Any = _PLACE, each: int = 1) -> Any:
    """The first row of each sequence, and the number of all rows; or the same of entries, `each` a row."""
    starts = _empty(len(lengths) + 1, dtype)
    _running_sums(plain(lengths), each, starts)
    return starts


def lasts_of(lengths: Any) -> Any:
    """The last row of each sequence, in 32 bits."""
    lasts = np.empty(len(lengths), PLACE_IN_32_BITS)
    _last_rows(plain(lengths), lasts)
    return lasts


def bounds_of(lengths: Any, rows: int) -> tuple[Any, Any]:
    """Of each row the first of its sequence, and the one after the last; one sequence where lengths is None."""
    if lengths is None:
        return _bounds_of_one(rows)
    first, end = np.empty(rows, _PLACE), np.empty(rows, _PLACE)
    _spread_bounds(plain(lengths), first, end)
    return first, end


@lru_cache(maxsize=4)  # all windows of a step ask for the same
def _bounds_of_one(rows: int) -> tuple[Any, Any]:
    return np.zeros(rows, _PLACE), np.full(rows, rows, _PLACE)
