"""What a case is, to those who measure it. A case has a number, its version: whoever changes what is computed in
it adds one, and results of different versions are not compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from triops.ops import Ops

__all__ = ["DTYPES", "ITEM_SIZES", "SIZES", "SUITES", "Case", "Shape", "Work", "tolerance_in"]

SUITES = ("ops", "layers", "train", "predict", "overhead")
SIZES = ("small", "typical", "large")

# How much coarser each dtype is than float32, in which tolerances are given.
DTYPES: Mapping[str, float] = {"float64": 1e-6, "float32": 1.0, "float16": 3e3, "bfloat16": 2e4}
ITEM_SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_MOST_TOLERATED = 0.3
_NOT_ROUNDING = 1e-2

Shape = tuple[int, ...]


@dataclass
class Work:
    """A case at one shape on one backend, ready to run.

    call: does it once, and returns the arrays that are to be waited for. inputs: what it reads, on the host.
    renew: makes new inputs before each call, for a case that consumes them. outputs: a call's results as float64
    on the host; references: the same from the formulas; compare: their difference. samples: how many rows, or
    sequences, a call goes through. bytes_moved: what has to be read and written at least, given the outputs;
    flops: what has to be computed. found: what else there is to know, such as an accuracy, once outputs were
    asked for.
    """

    call: Callable[[], Any]
    inputs: Sequence[Any]
    outputs: Callable[[], Sequence[Any]]
    references: Callable[[], Sequence[Any]]
    compare: Callable[[Sequence[Any], Sequence[Any]], float]
    bytes_moved: Callable[[Sequence[Any]], int]
    flops: float
    samples: int
    renew: Callable[[], None] | None = None
    found: dict[str, float] = field(default_factory=dict)


class Case(Protocol):
    """A line of the table of cases."""

    @property
    def suite(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def shapes(self) -> Mapping[str, Sequence[Shape]]: ...
    @property
    def tolerance(self) -> float: ...

    def start(self, ops: Ops, dtype: str, shape: Shape) -> Work:
        """The case on these ops; its arrays are on the device when this returns."""
        ...


def tolerance_in(dtype: str, tolerance: float) -> float:
    """The largest difference that is right, of one that is given for float32. From a hundredth on it allows for
    more than rounding, as the mean of a mask, and no dtype makes that less."""
    scale = max(DTYPES[dtype], 1.0) if tolerance >= _NOT_ROUNDING else DTYPES[dtype]
    return min(tolerance * scale, _MOST_TOLERATED)
