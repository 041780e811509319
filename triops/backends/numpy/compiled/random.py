"""The dropout mask, bit for bit as its formula gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import floats
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.jit import inlined
from triops.backends.numpy.compiled.scalar import F

__all__ = ["RANDOM"]

U = np.uint32
_THRESHOLD = 16_384  # entries from which a second thread pays
_GOLDEN = U(0x9E3779B9)
_FIRST, _SECOND = U(0x7FEB352D), U(0x846CA68B)


@inlined
def mix(x: Any) -> Any:
    # Numba makes a product or sum of 32-bit numbers 64 bits wide unless told otherwise.
    x = U(U(x ^ (x >> U(16))) * _FIRST)
    x = U(U(x ^ (x >> U(15))) * _SECOND)
    return U(x ^ (x >> U(16)))


def dropout_entries(seed: Any, step: Any, rate: Any, first: Any, out: Any, start: int) -> None:
    key = mix(U(mix(U(seed)) ^ U(U(step) * _GOLDEN)))
    scale = F(1) / (F(1) - rate)
    # The first 24 bits as a fraction of one are at least the rate where all 32 are at least this.
    least = U(np.int64(np.ceil(np.float64(rate) * 2.0**24)) << 8)
    place = U(first + start)
    for i in range(out.size):
        bits = mix(U(mix(U(place ^ key)) + key))
        out[i] = scale if bits >= least else F(0)
        place = U(place + U(1))


_dropout = Kernel(dropout_entries, globals(), {"out": 1}, threshold=_THRESHOLD)


def dropout_mask(seed: int, step: int, drop: float, first: int, *, shape: tuple[int, ...], dtype: str) -> Any:
    out = floats(shape)
    _dropout.run(out.size, seed, step, drop, first, out.ravel())
    return out if dtype == "float32" else out.astype(dtype)


RANDOM: Mapping[str, Callable[..., Any]] = {"dropout_mask": dropout_mask}
