"""Arrays in the one form that kernels are compiled for: contiguous, aligned, and typed as writeable. A read-only
input would be another type to Numba, and another compilation."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["FLOAT", "added", "flat", "floats", "matrix", "rows", "spread", "sums", "zeros"]

_LINE = 16  # float32 in a cache line
FLOAT = np.dtype(np.float32)  # NumPy looks one up for each array that is asked for by a type
_empty = np.empty


def floats(shape: Any) -> Any:
    """A new array, with whatever the memory held."""
    return _empty(shape, FLOAT)


def zeros(shape: Any) -> Any:
    """A new array of zeros."""
    return np.zeros(shape, FLOAT)


def flat(array: Any) -> Any:
    """All entries in one dimension; a view where the memory allows it."""
    if array.flags.carray:
        return array if array.ndim == 1 else array.ravel()
    return _behaved(array).ravel()


def rows(array: Any) -> Any:
    """All but the last dimension as one."""
    behaved = array if array.flags.carray else _behaved(array)
    return behaved if array.ndim == 2 else behaved.reshape(-1, array.shape[-1])


def matrix(array: Any) -> Any:
    """The array in its own shape."""
    return array if array.flags.carray else _behaved(array)


def spread(array: Any) -> tuple[Any, int]:
    """All memory from the first entry to the last in one dimension, and how many entries it is from row to row:
    more than a row has, where it is a part of what lies in the rows of another array."""
    if array.flags.carray and len(array):
        return array.ravel(), array.size // len(array)
    width = array[0].size if len(array) else 0
    step = array.strides[0] // array.itemsize
    parts_lie_together = len(array) > 0 and array[0].flags.carray and array.flags.aligned
    if array.flags.c_contiguous or not parts_lie_together or step < width or array.strides[0] % array.itemsize:
        return flat(array), width
    entries = (len(array) - 1) * step + width
    return np.lib.stride_tricks.as_strided(array, (entries,), (array.itemsize,)), step


def sums(slices: int, *shape: int) -> Any:
    """Zeros for each slice to add to, wider than asked for: threads that write to one cache line, even to other
    entries of it, wait for each other at every write."""
    if slices == 1:
        return zeros((1, *shape))
    *outer, width = shape
    return zeros((slices, *outer, -(-width // _LINE) * _LINE + _LINE))


def added(parts: Any, width: int) -> Any:
    """What the slices have in `sums`, for the width that was asked for."""
    return parts[0] if len(parts) == 1 else np.add.reduce(parts, axis=0)[..., :width]


class _Memory:
    """Another look at memory that NumPy holds read-only: kernels never write to their inputs."""

    def __init__(self, array: Any) -> None:
        self.owner = array
        self.__array_interface__ = {
            **array.__array_interface__,
            "data": (array.__array_interface__["data"][0], False),
        }


def _behaved(array: Any) -> Any:
    contiguous = np.require(array, requirements=("C", "A"))
    return contiguous if contiguous.flags.writeable or contiguous.size == 0 else np.asarray(_Memory(contiguous))
