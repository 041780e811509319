"""What a row of the table of op cases holds. A row says what an op means, in float64 and in plain Python or
NumPy, without the help of triops; `tests.ops.test_cases` runs it on every backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.ops.cases.layouts import Layout, plain

__all__ = ["FULL", "HALF", "TOLERANCE", "BadCall", "Gradient", "OpCase", "Sample", "Tolerance"]

FULL = ("float64", "float32")
HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Tolerance:
    """|result - oracle| may be `absolute` + `relative` |oracle|."""

    relative: float
    absolute: float


# A few units in the last place of each dtype; the absolute part is for results around 1 that cancel.
TOLERANCE = {
    "float64": Tolerance(1e-13, 1e-14),
    "float32": Tolerance(2e-6, 1e-6),
    "float16": Tolerance(4e-3, 2e-3),
    "bfloat16": Tolerance(3e-2, 2e-2),
}


@dataclass(frozen=True)
class Sample:
    """Arguments for one call. Floating arrays are float64 here, and are rounded to each of `dtypes` before the
    op and the oracle get them; integer arrays and numbers are given as they are."""

    args: tuple[Any, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    dtypes: tuple[str, ...] = FULL
    layout: Layout = plain
    finite: bool = True


@dataclass(frozen=True)
class BadCall:
    """Arguments that must raise. Arrays keep the dtype they have here."""

    why: str
    args: tuple[Any, ...]
    raises: type[Exception]
    match: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    looks_at_values: bool = False  # an accelerator cannot raise it without waiting


@dataclass(frozen=True)
class Gradient:
    """How finite differences of a forward op validate a backprop op: d Σ dY·forward(*inputs) / d inputs must be
    `backprop(ops, dY, *inputs)`."""

    forward: Callable[..., Any]
    inputs: tuple[NDArray[np.float64], ...]
    backprop: Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class OpCase:
    """A row of the table."""

    op: str
    oracle: Callable[..., Any]
    samples: Callable[[np.random.Generator], Mapping[str, Sample]]
    bad_calls: tuple[BadCall, ...] = ()
    gradients: Mapping[str, Gradient] = field(default_factory=dict)
    takes_dtype: bool = False  # it makes arrays out of numbers, and is told the dtype
    takes_lists: bool = False  # lists of arrays in the place of each array do as well
    donated: tuple[int, ...] = ()  # arguments that an accelerator may consume
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)

    def tolerance(self, dtype: str) -> Tolerance:
        """How near a result of that dtype must come to the oracle."""
        return self.tolerances.get(dtype, TOLERANCE[dtype])

    def drawn(self) -> Mapping[str, Sample]:
        """The samples, the same in every run."""
        return self.samples(np.random.default_rng(list(self.op.encode())))

    def array_places(self) -> list[int]:
        """Which arguments are arrays."""
        return [place for place, arg in enumerate(self.drawn()["typical"].args) if isinstance(arg, np.ndarray)]
