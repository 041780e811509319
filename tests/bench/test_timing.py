"""Which times count, and that a turn waits until calls are steady."""

import pytest

from triops.bench import timing
from triops.bench.timing import Pace, spread, take_turn


class Clock:
    """A clock that only calls move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(timing, "perf_counter", lambda: self.now)

    def call(self, seconds: float) -> float:
        self.now += seconds
        return seconds


def test_spread_of_none_one_and_many() -> None:
    assert spread([]) is None
    one = spread([0.5])
    assert one is not None
    assert (one.median_s, one.lower_quartile_s, one.upper_quartile_s, one.count) == (0.5, 0.5, 0.5, 1)
    many = spread([5.0, 1.0, 4.0, 2.0, 3.0])
    assert many is not None
    assert (many.median_s, many.lower_quartile_s, many.upper_quartile_s, many.count) == (3.0, 2.0, 4.0, 5)


def test_short_calls_are_timed_several_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    counts: list[int] = []

    def sample(calls: int) -> float:
        counts.append(calls)
        clock.call(1e-5 * calls)
        return 1e-5

    turn = take_turn(sample, Pace(turns=1, warm_s=0.003, turn_s=0.002, samples=2))
    assert turn.calls == 20
    assert counts[-1] == 20
    assert len(turn.seconds) in (10, 11)
    assert turn.steady
    assert take_turn(sample, Pace(1, 0.003, 0.002, 2), singly=True).calls == 1


def test_what_becomes_faster_is_warmed_up_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    made = 0

    def sample(calls: int) -> float:
        nonlocal made
        made += calls
        seconds = 0.001 * (1 + 10 * 0.5**made)
        clock.call(calls * seconds)
        return seconds

    turn = take_turn(sample, Pace(turns=1, warm_s=0.012, turn_s=0.004, samples=2))
    assert turn.steady
    assert max(turn.seconds) < 0.0012


def test_what_never_becomes_steady_is_measured_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    length = 1.0

    def sample(calls: int) -> float:
        nonlocal length
        length *= 0.9
        return clock.call(0.01 * length) * calls

    assert not take_turn(sample, Pace(turns=1, warm_s=0.003, turn_s=0.0, samples=3)).steady
