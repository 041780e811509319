"""What NumPy does better than the agnostic formula, by op name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["KERNELS"]


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    # Sorting the rows by index lets one `reduceat` add each group; `np.add.at` adds element by element.
    result = np.array(table)
    if len(indices) == 0:
        return result
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    result[ordered[starts]] += np.add.reduceat(values[order], starts, axis=0)
    return result


def backprop_gather_add(dY: Any, indices: Any, *, nV: int) -> Any:
    return scatter_add(
        np.zeros((nV, dY.shape[1]), dY.dtype), indices.reshape(-1), np.repeat(dY, indices.shape[1], axis=0)
    )


KERNELS: Mapping[str, Callable[..., Any]] = {
    "scatter_add": scatter_add,
    "backprop_gather_add": backprop_gather_add,
}
