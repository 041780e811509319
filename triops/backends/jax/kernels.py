"""What XLA does better than the agnostic formula, by op name. Each is jitted by the backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["KERNELS"]


def gemm(X: Any, Y: Any, *, trans1: bool, trans2: bool) -> Any:
    # XLA's default on a GPU rounds float32 factors to tf32: float32 is to mean float32 on every backend.
    return jnp.matmul(X.T if trans1 else X, Y.T if trans2 else Y, precision=jax.lax.Precision.HIGHEST)


def batched_gemm(X: Any, Y: Any, *, trans1: bool, trans2: bool) -> Any:
    left, right = (jnp.swapaxes(X, 1, 2) if trans1 else X), (jnp.swapaxes(Y, 1, 2) if trans2 else Y)
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def affine(X: Any, W: Any, b: Any) -> Any:
    return jnp.matmul(X, W.T, precision=jax.lax.Precision.HIGHEST) + b


def erf(X: Any) -> Any:
    return jax.scipy.special.erf(X)


def gather(table: Any, indices: Any) -> Any:
    return jnp.take(table, indices, axis=0, mode="fill", fill_value=jnp.nan)


def scatter_add(table: Any, indices: Any, values: Any) -> Any:
    return table.at[indices].add(values)


def gather_add(table: Any, indices: Any) -> Any:
    if table.shape[0] == 0:
        return jnp.zeros((indices.shape[0], table.shape[1]), table.dtype)  # jnp.take refuses an empty table
    return jnp.sum(gather(table, indices), axis=1)


def backprop_gather_add(dY: Any, indices: Any, *, nV: int) -> Any:
    return jnp.zeros((nV, dY.shape[1]), dY.dtype).at[indices].add(dY[:, None, :])


KERNELS: Mapping[str, Callable[..., Any]] = {
    "gemm": gemm,
    "batched_gemm": batched_gemm,
    "affine": affine,
    "erf": erf,
    "gather": gather,
    "scatter_add": scatter_add,
    "gather_add": gather_add,
    "backprop_gather_add": backprop_gather_add,
}
