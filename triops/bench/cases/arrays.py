"""What cases are made of: numbers that are the same on every machine, and how far results are from others. On the
host, in NumPy's arrays, through the ops that own them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import isfinite, prod
from typing import Any

from triops.backends import load_backend
from triops.ops import Ops, get_ops
from triops.ops.base import is_float

__all__ = [
    "ITEM",
    "SEED",
    "compare_arrays",
    "compare_norms",
    "floats",
    "formula_ops",
    "host",
    "lengths_between",
    "widened",
]

SEED = 0
ITEM = 4  # bytes of a float32 or int32


def host() -> Any:
    """NumPy, which is not loaded before a case needs it."""
    return get_ops("numpy").xp


@cache
def formula_ops() -> Ops:
    """NumPy with nothing compiled for the CPU at hand: every op is its formula, the oracle of all backends, but
    for the few whose formula takes the square of the memory."""
    backend = load_backend("numpy")

    class Formulas(type(backend)):  # type: ignore[misc]
        compiled: Mapping[str, Any] = {}  # it stands in for a property

    return Ops(Formulas(backend.device))


def floats(*shape: int, seed: int = SEED) -> Any:
    """Normal draws of float32."""
    return host().random.default_rng(seed).standard_normal(shape, dtype="float32")


def lengths_between(shortest: int, longest: int, count: int, seed: int = SEED) -> Any:
    """Lengths of sequences, int32; the first is the longest."""
    lengths = host().random.default_rng(seed).integers(shortest, longest + 1, count, dtype="int32")
    lengths[0] = longest
    return lengths


def widened(array: Any) -> Any:
    """Floats as float64, integers as they are."""
    return array.astype("float64") if is_float(array.dtype) else array


def compare_arrays(results: Sequence[Any], references: Sequence[Any]) -> float:
    """The largest difference of any entry, relative to the largest entry of its array; infinity where one is no
    number, or of another size. Some may return only the first of the results."""
    worst = 0.0
    for result, reference in zip(results, references, strict=False):
        if result.size != reference.size:
            return float("inf")
        scale = float(abs(reference).max(initial=0)) or 1.0
        difference = float(abs(result.reshape(reference.shape) - reference).max(initial=0)) / scale
        worst = max(worst, difference) if isfinite(difference) else float("inf")
    return worst


def compare_norms(results: Sequence[Any], references: Sequence[Any]) -> float:
    """The largest distance of any array, relative to its norm. A model's gradients are compared so: a ReLU that
    rounding puts on the other side of zero changes a few entries wholly."""
    worst = 0.0
    for result, reference in zip(results, references, strict=False):
        if prod(result.shape) != prod(reference.shape):
            return float("inf")
        scale = float((reference * reference).sum()) ** 0.5 or 1.0
        distance = float(((result.reshape(reference.shape) - reference) ** 2).sum()) ** 0.5 / scale
        worst = max(worst, distance) if isfinite(distance) else float("inf")
    return worst
