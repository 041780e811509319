"""What everything that is measured here has in common: peers take turns, as `triops.bench.timing` has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from triops.bench.timing import Pace, Spread, spread, take_turn

__all__ = ["Pace", "Result", "take_turns"]


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
            seconds[name] += take_turn(sample, pace, singly=singly).seconds
    return {name: spread(times) for name, times in seconds.items()}
