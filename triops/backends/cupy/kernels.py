"""What CuPy does better than the agnostic formula, by op name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cupy
import cupyx
import cupyx.scipy.special

__all__ = ["KERNELS"]


def erf(X: Any) -> Any:
    return cupyx.scipy.special.erf(X)


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    result = table.copy()
    cupyx.scatter_add(result, indices, values)
    return result


def backprop_gather_add(dY: Any, indices: Any, *, nV: int) -> Any:
    repeated = dY.repeat(indices.shape[1], axis=0)
    return scatter_add(cupy.zeros((nV, dY.shape[1]), dY.dtype), indices.reshape(-1), repeated)


def backprop_embedding_bag(dY: Any, indices: Any, lengths: Any, *, nV: int, mean: bool) -> Any:
    ends = cupy.cumsum(lengths.astype("int64"))
    bags = cupy.searchsorted(ends, cupy.arange(indices.shape[0]), side="right")
    wide = dY.astype("float32") if dY.itemsize < 4 else dY
    shares = wide / cupy.maximum(lengths, 1).astype(wide.dtype)[:, None] if mean else wide
    # Rows after the last bag belong to none.
    padded = cupy.concatenate((shares, cupy.zeros((1, shares.shape[1]), shares.dtype)))
    return backprop_gather_add(padded[bags], indices, nV=nV).astype(dY.dtype)


KERNELS: Mapping[str, Callable[..., Any]] = {
    "erf": erf,
    "scatter_add": scatter_add,
    "backprop_gather_add": backprop_gather_add,
    "backprop_embedding_bag": backprop_embedding_bag,
}
