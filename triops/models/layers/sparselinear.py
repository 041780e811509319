"""A linear layer over bags of hashed features."""

from __future__ import annotations

from typing import Any

from triops.errors import DTypeError, ShapeError
from triops.models.initializers import zero_init
from triops.models.model import Model
from triops.ops.base import is_float
from triops.types import Backprop, Floats2d

__all__ = ["SparseLinear"]


class SparseLinear(Model):
    """Y[n] = b + Σ_t values[t] (W[h₀(keys[t])] + W[h₁(keys[t])]), over the keys t of bag n, h₀ and h₁ being
    32-bit hashes modulo `length`. Two keys share all their weights only where both hashes agree. As Thinc's
    SparseLinear.v2.

    X: (keys, values, lengths), as in Thinc: (T,) uint64, (T,) floats, and (N,) integers that add up to T. Y: (N,
    nO). Parameters W: (length, nO), zero at first; Thinc's, in one row, is its transpose; b: (nO,). Nothing in X
    has a gradient: `backprop` returns None.
    """

    full_precision = True

    def __init__(self, nO: int | None = None, length: int = 2**18) -> None:
        super().__init__(dims={"nO": nO, "length": length})
        self.add_param("W", ("length", "nO"), zero_init)
        self.add_param("b", ("nO",), zero_init)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        keys, values, lengths = self._parts(X)
        ops, W, length = self.ops, self.get_param("W"), self.get_dim("length")
        rows = ops.xp.stack([ops.hash32(keys, seed) for seed in (0, 1)], axis=1) % length
        weights = ops.asarray(values, dtype=W.dtype)[:, None]
        Y = ops.reduce_sum(ops.gather_add(W, rows) * weights, lengths) + self.get_param("b")

        def backprop(dY: Floats2d, sgd: Any = None) -> None:
            d_rows = ops.backprop_reduce_sum(dY, lengths, keys.shape[0]) * weights
            self.inc_grad("W", ops.backprop_gather_add(d_rows, rows, length))
            self.inc_grad("b", dY.sum(axis=0))

        return Y, backprop

    def _parts(self, X: Any) -> tuple[Any, Any, Any]:
        if not isinstance(X, list | tuple) or len(X) != 3 or not all(map(self.ops.backend.is_array, X)):
            raise DTypeError(
                f"X must be the arrays (keys, values, lengths), got {type(X).__name__}: give a uint64 key and a "
                f"value for each feature, and the number of features of each bag"
            )
        keys, values, lengths = X
        if not is_float(values.dtype):
            raise DTypeError(f"values must be a floating array, got {values.dtype}")
        if values.shape != keys.shape:
            raise ShapeError(
                f"values must be one for each of the keys, of shape {tuple(keys.shape)}, got "
                f"{tuple(values.shape)}"
            )
        return keys, values, lengths
