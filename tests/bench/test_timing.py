"""Which times count, and that the clock waits for the device."""

from typing import Any

import pytest

from triops.bench import timing
from triops.bench.timing import spread, steady, timed, turns


@pytest.mark.parametrize("steps", [1, 2, 11, 99, 100, 299, 300, 1100, 10_001])
def test_turns_cover_every_step_once_and_are_about_equal(steps: int) -> None:
    taken = turns(steps)
    assert [step for turn in taken for step in turn] == list(range(steps))
    assert max(map(len, taken)) - min(map(len, taken)) <= 1
    assert len(taken) == 1 or all(100 <= len(turn) <= 300 for turn in taken)


def test_steady_steps_are_the_second_half_of_a_turn_and_never_the_first_step() -> None:
    assert steady(range(200, 400)) == range(300, 400)
    assert list(steady(range(1))) == []
    assert list(steady(range(2))) == [1]


def test_spread_of_none_one_and_many() -> None:
    assert spread([]) is None
    one = spread([0.5])
    assert one is not None
    assert (one.median_s, one.lower_quartile_s, one.upper_quartile_s, one.count) == (0.5, 0.5, 0.5, 1)
    many = spread([5.0, 1.0, 4.0, 2.0, 3.0])
    assert many is not None
    assert (many.median_s, many.lower_quartile_s, many.upper_quartile_s, many.count) == (3.0, 2.0, 4.0, 5)


def test_the_clock_is_read_after_what_was_computed_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[Any] = []

    class Ops:
        def synchronize(self, *arrays: Any) -> None:
            order.append(("synchronize", arrays))

    def clock() -> float:
        order.append("clock")
        return float(len(order))

    monkeypatch.setattr(timing, "perf_counter", clock)
    seconds = timed(Ops(), lambda: order.append("work") or ["weights"])  # type: ignore[arg-type]
    assert order == ["clock", "work", ("synchronize", ("weights",)), "clock"]
    assert seconds == 3.0
