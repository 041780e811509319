"""Random numbers, each from an explicit seed. There is no hidden generator: the same seed gives the same
bits on every backend."""

from __future__ import annotations

import math
from operator import index
from typing import Any

from triops.errors import ArgumentError
from triops.ops.base import OpsBase, extents_of
from triops.ops.bounds import bounds
from triops.types import DType, FloatsXd, Ints1d, Shape

__all__ = ["RandomOps"]

_WORD = 2**32


class RandomOps(OpsBase):
    """Initial draws, permutations and dropout masks."""

    def draw_uniform(
        self,
        seed: int,
        shape: Shape | int,
        lo: float = 0.0,
        hi: float = 1.0,
        dtype: DType = "float32",
    ) -> FloatsXd:
        """Independent draws from [lo, hi], made on the host by Philox (Salmon et al. 2011, Parallel Random
        Numbers: As Easy as 1, 2, 3) and rounded to `dtype`.

        seed: any integer from 0. Returns an array of that shape, bit-identical on every backend. Raises
        ShapeError for a negative extent.
        """
        seed, shape = _counter("draw_uniform", "seed", seed), extents_of("draw_uniform", shape)
        draws: FloatsXd = self.backend.asarray(self.backend.host.draw_uniform(seed, shape, lo, hi), dtype)
        return draws

    def draw_normal(
        self,
        seed: int,
        shape: Shape | int,
        mean: float = 0.0,
        scale: float = 1.0,
        dtype: DType = "float32",
    ) -> FloatsXd:
        """Independent draws from the normal distribution with that mean and standard deviation, as
        `draw_uniform` makes them."""
        seed, shape = _counter("draw_normal", "seed", seed), extents_of("draw_normal", shape)
        draws: FloatsXd = self.backend.asarray(self.backend.host.draw_normal(seed, shape, mean, scale), dtype)
        return draws

    def permutation(self, seed: int, n: int) -> Ints1d:
        """The numbers 0 to n-1 in random order, as int64: indices to shuffle a data set by."""
        if n < 0:
            raise ArgumentError(f"permutation: n must be 0 or more, got {n}")
        seed = _counter("permutation", "seed", seed)
        order: Ints1d = self.backend.asarray(self.backend.host.draw_permutation(seed, n), None)
        return order

    def dropout_mask(
        self, seed: int, step: int, shape: Shape | int, drop: float, dtype: DType = "float32"
    ) -> FloatsXd:
        """Each entry is 0 with probability `drop`, else 1/(1-drop), so that a product with the mask keeps
        its expectation. Srivastava et al. 2014, Dropout.

        seed, step: integers from 0, of which the low 32 bits count; another pair is another mask. shape: of
        fewer than 2³² entries. drop: from 0 up to, not including, 1. While compiling, these three may be numbers
        that are not known yet. Returns an array of that shape, a pure function of its arguments. Raises
        ShapeError for a negative extent, and ArgumentError for a rate out of range.
        """
        shape = extents_of("dropout_mask", shape)
        if not self.backend.is_traced(drop):
            if not 0 <= drop < 1:
                raise ArgumentError(f"dropout_mask: drop must be from 0 up to, not including, 1, got {drop}")
            drop = float(drop)
        mask: FloatsXd = self._kernels["dropout_mask"](
            self._word("seed", seed),
            self._word("step", step),
            drop,
            self._word("first", _entries_before(shape)),
            shape=shape,
            dtype=self.backend.host.dtype_name(dtype),
        )
        return mask

    def _word(self, argument: str, value: Any) -> Any:
        if not isinstance(value, int) and self.backend.is_traced(value):
            return value.astype("uint32")
        return self.backend.word(_counter("dropout_mask", argument, value) % _WORD)


def _entries_before(shape: tuple[int, ...]) -> Any:
    """Where a device computes a part of a batch, the entries before it: the mask is that of the whole batch."""
    known = bounds()
    rows = None if known is None or not shape else known.first(shape[0])
    return 0 if rows is None else rows * math.prod(shape[1:])


def _counter(op: str, argument: str, value: int) -> int:
    # NumPy takes None as a seed too, and then draws from the machine's entropy.
    number = index(value) if hasattr(value, "__index__") else -1
    if number < 0:
        raise ArgumentError(f"{op}: {argument} must be an integer from 0, got {value!r}")
    return number
