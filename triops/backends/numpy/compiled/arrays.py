"""Arrays in the one form that kernels are compiled for: contiguous, aligned, and typed as writeable. A read-only
input would be another type to Numba, and another compilation."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["flat", "matrix", "rows", "sums"]

_LINE = 16  # float32 in a cache line


def flat(array: Any) -> Any:
    """All entries in one dimension; a view where the memory allows it."""
    return (array if array.flags.carray else _behaved(array)).reshape(-1)


def rows(array: Any) -> Any:
    """All but the last dimension as one."""
    return (array if array.flags.carray else _behaved(array)).reshape(-1, array.shape[-1])


def matrix(array: Any) -> Any:
    """The array in its own shape."""
    return flat(array).reshape(array.shape)


def sums(slices: int, *shape: int) -> Any:
    """Zeros for each slice to add to, wider than asked for: threads that write to one cache line, even to other
    entries of it, wait for each other at every write."""
    *outer, width = shape
    return np.zeros((slices, *outer, -(-width // _LINE) * _LINE + _LINE), np.float32)


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
