"""What a run may vary, and how long it takes over each case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from triops.bench.cases import check_sizes, choose_cases
from triops.bench.cases.case import DTYPES, SIZES, SUITES, Case, Shape
from triops.bench.stats import CONFIDENCE
from triops.bench.timing import Pace
from triops.errors import ArgumentError

__all__ = ["Job", "Settings"]

# Six turns are the least whose lowest and highest hold the median with 95%. Each process lays out memory in its
# own way, and some are luckier: a number that divides the turns.
_FULL, _FULL_PROCESSES = Pace(turns=12, warm_s=0.04, turn_s=0.03, samples=3), 3
_QUICK, _QUICK_PROCESSES = Pace(turns=6, warm_s=0.02, turn_s=0.02, samples=2), 1
_BATCH_SIZES = (1, 4, 16, 64, 256, 1024)


@dataclass(frozen=True)
class Job:
    """A case to be measured, at one shape and dtype."""

    case: Case
    size: str
    shape: Shape
    dtype: str


@dataclass(frozen=True)
class Settings:
    """suites, sizes, dtypes: those to measure, all suites, "typical" and "float32" where they are left out.
    filter: texts or patterns of which one must be in a case's name. threads: for each backend, None for all
    cores. model: one's own, as package.module:function, in place of the suites, at these batch sizes. Raises
    ArgumentError."""

    suites: Sequence[str] = ()
    sizes: Sequence[str] = ()
    dtypes: Sequence[str] = ()
    filter: Sequence[str] = ()
    threads: int | None = None
    quick: bool = False
    model: str | None = None
    batch_sizes: Sequence[int] = ()

    def __post_init__(self) -> None:
        check_sizes(self.sizes)
        for dtype in self.dtypes:
            if dtype not in DTYPES:
                raise ArgumentError(f"unknown dtype {dtype!r}: choose from {', '.join(DTYPES)}")
        for size in self.batch_sizes:
            if size < 1:
                raise ArgumentError(f"a batch size must be 1 or more, got {size}")
        if self.model is None and self.batch_sizes:
            raise ArgumentError(
                "batch sizes are for a model of one's own: give it as --model package.module:function"
            )
        if self.model is not None and (self.suites or self.sizes or self.filter):
            raise ArgumentError("a model of one's own has no suites, sizes or filter: it has batch sizes")

    @property
    def pace(self) -> Pace:
        """How long each case is measured."""
        return _QUICK if self.quick else _FULL

    @property
    def processes(self) -> int:
        """In how many fresh processes, one after the other, each backend is measured."""
        return _QUICK_PROCESSES if self.quick else _FULL_PROCESSES

    def jobs(self) -> list[Job]:
        """All that is to be measured, in order. Raises ArgumentError where that is nothing."""
        if self.model is not None:
            from triops.bench.cases.own import own_cases

            cases: Sequence[Case] = own_cases(self.model, self.batch_sizes or _BATCH_SIZES)
        else:
            cases = choose_cases(self.suites, self.filter, few=self.quick)
        jobs = []
        for case in cases:
            seen = set()
            for size in case.shapes if self.model is not None else self.sizes or ("typical",):
                for shape in case.shapes[size]:
                    if shape not in seen:  # some cases have but one
                        seen.add(shape)
                        jobs += [Job(case, size, shape, dtype) for dtype in self.dtypes or ("float32",)]
        return jobs

    def record(self) -> dict[str, Any]:
        """The settings as they are written down, with what was left out filled in."""
        return {
            "suites": [] if self.model else list(self.suites or SUITES),
            "sizes": [] if self.model else [size for size in SIZES if size in (self.sizes or ("typical",))],
            "dtypes": list(self.dtypes or ("float32",)),
            "filter": list(self.filter),
            "threads": self.threads,
            "quick": self.quick,
            "turns": self.pace.turns,
            "processes": self.processes,
            "confidence": CONFIDENCE,
            "model": self.model,
            "batch_sizes": list(self.batch_sizes or _BATCH_SIZES) if self.model else [],
        }
