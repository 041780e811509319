"""How an array lies in memory: the same values behind other strides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Layout", "mixed", "plain", "strided", "transposed"]

Layout: TypeAlias = Callable[[Any, int], Any]


def plain(array: Any, position: int) -> Any:
    """Row by row."""
    return np.array(array, order="C")


def transposed(array: Any, position: int) -> Any:
    """Column by column, as the transpose of an array is."""
    return np.array(array, order="F")


def strided(array: Any, position: int) -> Any:
    """Every second element of every second row of a larger array; what lies between must not matter."""
    around = np.full(tuple(2 * extent + 1 for extent in array.shape), 99, dtype=array.dtype)
    view = around[tuple(slice(1, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def mixed(array: Any, position: int) -> Any:
    """Each argument otherwise than the one before, the first with negative strides."""
    if position % 2:
        return strided(array, position)
    backwards = tuple(slice(None, None, -1) for _ in array.shape)
    return np.array(array[backwards], order="C")[backwards]
