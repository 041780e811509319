"""Random masks by counter: bit for bit the same on every backend, with no state."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula

_GOLDEN = 0x9E3779B9


@formula
def dropout_mask(
    xp: Any, seed: int, step: int, drop: float, first: int, *, shape: tuple[int, ...], dtype: str
) -> Any:
    size = 1
    for extent in shape:
        size *= extent
    # Arrays of one element, since NumPy warns where a scalar wraps around and not where an array does.
    seed_word = xp.reshape(xp.asarray(seed, dtype="uint32"), (1,))
    step_word = xp.reshape(xp.asarray(step, dtype="uint32"), (1,))
    key = _mix(xp, _mix(xp, seed_word) ^ (step_word * _word(xp, _GOLDEN)))
    places = xp.arange(size, dtype="uint32") + xp.reshape(xp.asarray(first, dtype="uint32"), (1,))
    bits = _mix(xp, _mix(xp, places ^ key) + key)
    uniform = (bits >> _word(xp, 8)).astype("float32") * xp.asarray(2.0**-24, dtype="float32")
    rate = xp.asarray(drop, dtype="float32")
    mask = xp.where(uniform >= rate, 1.0 / (1.0 - rate), xp.asarray(0.0, dtype="float32"))
    return xp.reshape(mask, shape).astype(dtype)


def _mix(xp: Any, x: Any) -> Any:
    """The 32-bit finaliser `lowbias32` of Christopher Wellons, Prospecting for Hash Functions (2018)."""
    x = (x ^ (x >> _word(xp, 16))) * _word(xp, 0x7FEB352D)
    x = (x ^ (x >> _word(xp, 15))) * _word(xp, 0x846CA68B)
    return x ^ (x >> _word(xp, 16))


def _word(xp: Any, value: int) -> Any:
    return xp.asarray(value, dtype="uint32")
