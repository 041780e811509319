"""Reading the clock: how long one is measured at a time, what is timed together, and which times count."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter

__all__ = ["Pace", "Spread", "Turn", "spread", "take_turn"]

_SAMPLE_S = 2e-4  # shorter calls are timed several at once, since the clock and its call cost something
_WINDOWS = 3  # into which the time to warm up is split
_STEADY = 0.05  # how much slower a window may be than the best one before
_PATIENCE = 5  # times the time to warm up


@dataclass(frozen=True)
class Pace:
    """How long each one is measured when it is its turn: at least `warm_s` do not count, and then at least so
    many samples, for at least so long. A turn is a unit of what is known: times within one are alike, those of
    another less so.

    The first calls after another's turn are slow: the CPU's scheduler takes some 60 ms to spread the threads of a
    process that woke up (on two cores, JAX's steps took 1.6 times as long until then, after a pause with nothing
    else running, too), and OpenBLAS's threads spin for some 30 ms after their last product.
    """

    turns: int
    warm_s: float
    turn_s: float
    samples: int


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of `count` times, in seconds."""

    median_s: float
    lower_quartile_s: float
    upper_quartile_s: float
    count: int


@dataclass(frozen=True)
class Turn:
    """What was timed in a turn: seconds a call, each the mean of `calls` of them. steady: whether the time to
    warm up ended since calls took no less time any more, and not since it had taken too long."""

    seconds: list[float]
    calls: int
    steady: bool


def spread(seconds: Sequence[float]) -> Spread | None:
    """The spread of some times, None of none."""
    if len(seconds) < 2:
        return Spread(seconds[0], seconds[0], seconds[0], 1) if seconds else None
    lower, middle, upper = quantiles(seconds, n=4, method="inclusive")
    return Spread(middle, lower, upper, len(seconds))


def take_turn(sample: Callable[[int], float], pace: Pace, *, singly: bool = False) -> Turn:
    """One's turn. `sample` makes so many calls and returns the seconds of one; `singly` lets it make one at a
    time."""
    times: list[float] = []
    with _no_garbage():
        call_s, steady = _warm(sample, pace.warm_s)
        calls = 1 if singly else max(1, round(_SAMPLE_S / call_s))
        stop = perf_counter() + pace.turn_s
        while len(times) < pace.samples or perf_counter() < stop:
            times.append(sample(calls))
    return Turn(times, calls, steady)


def _warm(sample: Callable[[int], float], seconds: float) -> tuple[float, bool]:
    """Run until the calls of a window take no longer than those of the ones before, and for `seconds` at least;
    the time of a call, and whether it came to that."""
    started = perf_counter()
    best = sample(1)
    while True:
        window = _window(sample, seconds / _WINDOWS)
        warm = perf_counter() - started
        steady = window <= (1 + _STEADY) * best and window >= (1 - _STEADY) * best
        best = min(best, window)
        if warm >= seconds and (steady or warm >= _PATIENCE * seconds):
            return best, steady


def _window(sample: Callable[[int], float], seconds: float) -> float:
    times = [sample(1)]
    stop = perf_counter() + seconds
    while perf_counter() < stop:
        times.append(sample(1))
    return median(times)


@contextmanager
def _no_garbage() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
