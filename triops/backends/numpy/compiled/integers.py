"""What the checks of ops ask of integers: one pass and no temporary array, since every call pays for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat
from triops.backends.numpy.compiled.build import on_one_thread

__all__ = ["extremes"]

_DTYPES = frozenset(map(np.dtype, ("int32", "int64", "uint32")))


def lowest_highest_sum(integers: Any) -> Any:
    lowest, highest, total = np.int64(integers[0]), np.int64(integers[0]), np.int64(0)
    for i in range(integers.size):
        value = np.int64(integers[i])
        lowest, highest = min(lowest, value), max(highest, value)
        total += value
    return lowest, highest, total


_extremes = on_one_thread(lowest_highest_sum, globals())


def extremes(integers: Any) -> tuple[int, int, int]:
    """The lowest, the highest and the sum of at least one integer."""
    if integers.dtype in _DTYPES:
        found: tuple[int, int, int] = _extremes(flat(integers))
        return found
    return int(integers.min()), int(integers.max()), int(integers.sum())
