"""What is the same is no difference, what is slower is found, and what cannot be compared is refused."""

from dataclasses import replace
from typing import Any

import pytest

from tests.bench.samples import RELU, RUN, drawn, row, timed, turn
from triops.bench.compare import compare
from triops.bench.compared import to_csv, to_markdown
from triops.bench.results import Run
from triops.errors import ArgumentError


def of(*rows: Any, name: str = "other") -> Run:
    return replace(RUN, name=name, rows=tuple(rows))


def test_the_same_machine_twice_is_no_difference_in_nearly_all_cases() -> None:
    ones = [row(f"case{i}", 1e-4, 2 * i) for i in range(400)]
    others = [row(f"case{i}", 1e-4, 2 * i + 1) for i in range(400)]
    (other,) = compare([of(*ones, name="a"), of(*others, name="b")]).others
    same = sum(pair.verdict == "no difference" for pair in other.pairs)
    assert same / 400 >= 0.95
    assert other.means[0].interval is not None
    assert other.means[0].interval[0] < 1 < other.means[0].interval[1]


@pytest.mark.parametrize(("factor", "verdict"), [(1.15, "slower"), (1 / 1.15, "faster")])
def test_fifteen_percent_are_found(factor: float, verdict: str) -> None:
    ones = [row(f"case{i}", 1e-4, 2 * i) for i in range(100)]
    others = [row(f"case{i}", factor * 1e-4, 2 * i + 1) for i in range(100)]
    (other,) = compare([of(*ones, name="a"), of(*others, name="b")]).others
    assert sum(pair.verdict == verdict for pair in other.pairs) >= 95
    assert other.means[0].speed == pytest.approx(1 / factor, rel=0.01)


def test_a_cpu_that_others_slow_down_is_no_difference() -> None:
    ones = of(*(row(f"case{i}", 1e-4, 2 * i) for i in range(100)), name="a")
    taken = [drawn(1.4e-4, 2 * i + 1, pulse=1.4e-3) for i in range(100)]
    others = of(*(row(f"case{i}", 1.0, turns=turns) for i, turns in enumerate(taken)), name="b")
    comparison = compare([ones, others])
    (other,) = comparison.others
    assert {pair.verdict for pair in other.pairs} == {"no difference"}
    assert comparison.below(0.95) == []
    assert "the CPU itself ran at 0.71 times its speed in the baseline" in to_markdown(comparison)
    # What is slower beside the CPU, too, is found.
    slow = [drawn(1.15 * 1.4e-4, 2 * i + 1, pulse=1.4e-3) for i in range(100)]
    slower = of(*(row(f"case{i}", 1.0, turns=turns) for i, turns in enumerate(slow)), name="b")
    (other,) = compare([ones, slower]).others
    assert sum(pair.verdict == "slower" for pair in other.pairs) >= 95
    # Another CPU has a speed of its own.
    another = replace(others, machine=RUN.machine | {"cpu": RUN.machine["cpu"] | {"model": "Another"}})
    (other,) = compare([ones, another]).others
    assert {pair.verdict for pair in other.pairs} == {"slower"}


def test_a_gate_names_what_is_certainly_slower_and_what_is_lost() -> None:
    slow = timed("slow", 1.3, 50)
    reasons = compare([RUN, slow]).below(0.95)
    assert any(reason.startswith("slow: relu 4000x288 float32 on numpy cpu:0 has 0.7") for reason in reasons)
    assert any("geometric mean" in reason for reason in reasons)
    assert compare([RUN, timed("same", 1.0, 50)]).below(0.8) == []
    failed = of(replace(RELU, turns=(), error="Boom"), *RUN.rows[1:])
    wrong = of(replace(RELU, difference=1.0), *RUN.rows[1:])
    assert "it failed here: Boom" in compare([RUN, failed]).below(0.1)[0]
    assert "its result is wrong here" in compare([RUN, wrong]).below(0.1)[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "it is version 1 of the case in the baseline, and 2 here"),
        ({"shape": (20, 96)}, "other has it at 20x96 alone"),
        ({"dtype": "float64"}, "other has it in float64 alone"),
        ({"device": "cuda:0"}, "other has it on numpy cuda:0 alone"),
        ({"case": "other_case"}, "other has no such case"),
        ({"turns": ()}, "it was not reached here"),
        ({"error": "out of memory", "turns": ()}, "it failed here: out of memory"),
        ({"difference": 0.5}, "its result is wrong here"),
    ],
)
def test_what_is_not_comparable_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    base = of(RELU, row("gelu", 1e-3), name="base")
    other = of(replace(RELU, **changes), row("gelu", 1e-3, 1))
    (found,) = compare([base, other]).others
    assert [pair.base.case for pair in found.pairs] == ["gelu"]
    assert any(reason in line for line in found.refused)
    with pytest.raises(ArgumentError, match="nothing can be compared") as refusal:
        compare([of(RELU, name="base"), of(replace(RELU, **changes))])
    assert reason in refusal.value.message


def test_too_few_turns_are_said_to_be_too_few() -> None:
    short = of(replace(RELU, turns=(turn(1e-4),)))
    (found,) = compare([RUN, short]).others
    assert (found.pairs[0].verdict, found.pairs[0].interval) == ("too few turns", None)


def test_the_baseline_is_chosen_by_file_or_name() -> None:
    other = timed("other", 2.0, 9)
    assert compare([RUN, other], "other").base.name == "other"
    assert compare([RUN, other], "results/other.json").base.name == "other"
    assert [run.name for run in compare([RUN, RUN]).runs] == ["base", "base (2)"]
    with pytest.raises(ArgumentError, match="no file is named 'third': the runs are base, other"):
        compare([RUN, other], "third")
    with pytest.raises(ArgumentError, match="two files or more, got 1"):
        compare([RUN])
    with pytest.raises(ArgumentError, match="tolerance must be from 0"):
        compare([RUN, other], tolerance=1.0)
    for speed in (float("nan"), 0.0, -0.95):
        with pytest.raises(ArgumentError, match="speed to be reached must be above 0"):
            compare([RUN, other]).below(speed)


def test_markdown_and_csv_have_a_line_for_each_pair() -> None:
    comparison = compare([RUN, timed("slow", 1.5, 3)])
    (other,) = comparison.others
    text = to_markdown(comparison)
    assert text.startswith("Baseline: base: Some CPU")
    assert text.count("| slower |") == len(other.pairs) == 5
    lines = to_csv(comparison).splitlines()
    assert len(lines) == 1 + len(other.pairs)
    assert lines[0].startswith("run,suite,case,shape,dtype,backend,device,baseline_s,here_s,speed,low,high")
    assert lines[1].startswith("slow,ops,relu,4000x288,float32,numpy,cpu:0,")


def test_noise_that_hides_a_difference_is_no_difference() -> None:
    noisy = of(replace(RELU, turns=drawn(1.1e-4, 5, noise=0.4)))
    (found,) = compare([of(RELU, name="base"), noisy]).others
    assert found.pairs[0].verdict == "no difference"
