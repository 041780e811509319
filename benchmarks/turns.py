"""Whose turn it is, for how long, and what counts of it: shared by all that is measured here."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from triops.bench.timing import Spread, spread

__all__ = ["Pace", "Result", "take_turns"]

_SAMPLE_S = 1e-4  # shorter calls are timed several at once


@dataclass(frozen=True)
class Pace:
    """How long each peer is measured. What `triops.bench.timing.turns` says of long turns holds here: the first
    `warm_s` of a turn, in which threads spread and another's threads stop spinning, does not count."""

    turns: int
    warm_s: float
    turn_s: float
    samples: int  # at least that many a turn


@dataclass
class Result:
    """One peer's part of a row. `difference` is from the float64 result; `error` says why it failed."""

    call_s: Spread | None = None
    ratio: float | None = None  # its time over that of triops-numpy
    difference: float | None = None
    wrong: bool = False
    error: str | None = None


def take_turns(
    samplers: Mapping[str, Callable[[int], float]], pace: Pace, *, singly: bool = False
) -> dict[str, Spread | None]:
    """The spread of each one's times. A sampler makes so many calls and returns the seconds of one; `singly`
    lets it make one at a time."""
    seconds: dict[str, list[float]] = {name: [] for name in samplers}
    for _ in range(pace.turns):
        for name, sample in samplers.items():
            seconds[name] += _turn(sample, pace, singly)
    return {name: spread(times) for name, times in seconds.items()}


def _turn(sample: Callable[[int], float], pace: Pace, singly: bool) -> list[float]:
    times: list[float] = []
    with _no_garbage():
        last = _warm(sample, pace.warm_s)
        calls = 1 if singly else max(1, round(_SAMPLE_S / last))
        stop = perf_counter() + pace.turn_s
        while len(times) < pace.samples or perf_counter() < stop:
            times.append(sample(calls))
    return times


def _warm(sample: Callable[[int], float], seconds: float) -> float:
    """Run for that long; returns the least seconds of a call."""
    stop = perf_counter() + seconds
    least = sample(1)
    while perf_counter() < stop:
        least = min(least, sample(1))
    return least


@contextmanager
def _no_garbage() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
