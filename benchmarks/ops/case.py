"""What a case is: one op, its shapes, and how each peer computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["SEED", "Case", "compare_arrays", "floats"]

SEED = 0

Shape = tuple[int, ...]


def floats(*shape: int, seed: int = SEED) -> Any:
    """Normal draws of float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype="float32")


def compare_arrays(results: Sequence[Any], references: Sequence[Any]) -> float:
    """The largest difference of any entry, relative to the largest entry of its array. A peer may return only
    the first of the results."""
    worst = 0.0
    for result, reference in zip(results, references, strict=False):
        if result.size != reference.size:
            return float("inf")
        scale = float(np.abs(reference).max()) or 1.0
        difference = float(np.abs(result.reshape(reference.shape) - reference).max()) / scale
        if not difference <= worst:  # so that NaN counts too
            worst = difference
    return worst if worst == worst else float("inf")


@dataclass(frozen=True)
class Case:
    """One op. Each peer's function takes the peer's library, then the inputs in order, and returns an array or
    several; None where the peer has no such op."""

    name: str
    shapes: Mapping[str, Sequence[Shape]]
    inputs: Callable[..., Sequence[Any]]  # of the shape's extents
    triops: Callable[..., Any]
    thinc: Callable[..., Any] | None = None
    torch: Callable[..., Any] | None = None
    jax: Callable[..., Any] | None = None
    flops: Callable[..., float] = lambda *shape: 0.0  # of the shape's extents
    reads: tuple[int, ...] | None = None  # the inputs that are read in full; None for all
    moved: Callable[..., int] | None = None  # bytes, of the shape's extents, where inputs + outputs is not it
    consumes: bool = False  # some peer changes its inputs: each call gets new ones
    tolerance: float = 1e-5
    compare: Callable[[Sequence[Any], Sequence[Any]], float] = compare_arrays

    def bytes_moved(self, shape: Shape, inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
        """What has to be read and written at least."""
        if self.moved is not None:
            return self.moved(*shape)
        read = inputs if self.reads is None else [inputs[i] for i in self.reads]
        return sum(array.nbytes for array in (*read, *outputs))
