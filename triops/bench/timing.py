"""Reading the clock: what is timed, in which order, and which times count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter

from triops.ops import Ops
from triops.types import Array

__all__ = ["Spread", "spread", "steady", "timed", "turns"]

_TURN_STEPS = 200


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of `count` times, in seconds."""

    median_s: float
    lower_quartile_s: float
    upper_quartile_s: float
    count: int


def timed(ops: Ops, work: Callable[[], Iterable[Array]]) -> float:
    """Seconds from the call of `work` until the arrays that it returns are computed. What `work` reads must
    be computed before."""
    start = perf_counter()
    ops.synchronize(*work())
    return perf_counter() - start


def spread(seconds: Sequence[float]) -> Spread | None:
    """The spread of some times, None of none."""
    if len(seconds) < 2:
        return Spread(seconds[0], seconds[0], seconds[0], 1) if seconds else None
    lower, median, upper = quantiles(seconds, n=4, method="inclusive")
    return Spread(median, lower, upper, len(seconds))


def turns(steps: int) -> list[range]:
    """`steps` numbers from 0 in turns of about equal length, which those who are measured take one after the
    other, so that a machine that slows down slows all of them.

    Turns are long because the first steps after another's turn are slow: the CPU's scheduler takes some
    60 ms to spread the threads of a process that woke up (on two cores, JAX's steps took 1.6 times as long
    until then, after a pause with nothing else running, too), and OpenBLAS's threads spin for some 30 ms
    after their last product. Taking turns step by step would measure that.
    """
    count = max(1, round(steps / _TURN_STEPS))
    return [range(steps * i // count, steps * (i + 1) // count) for i in range(count)]


def steady(turn: range) -> range:
    """The steps of a turn that count, its second half; never the very first step, which compiles."""
    return range(max(turn.start + len(turn) // 2, 1), turn.stop)
