"""What a run says about its backends: who is faster, by suite and by batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from triops.bench.results import Row, Run
from triops.bench.stats import geometric_mean, ratio_interval

__all__ = ["Crossing", "Speed", "best_by_batch", "crossings", "groups", "speeds", "warnings"]

_UNSTEADY = 0.1  # half the width of an interval, of its median
_THROTTLED = 1.15  # the slowest pulse over the fastest
_STOLEN = 0.02
_TAKEN = 0.03
_BUSY = 0.5  # processes a core
_OUTLYING = 0.05

RowKey = tuple[str, str, str, tuple[int, ...], str]


@dataclass(frozen=True)
class Speed:
    """A backend's speed in a suite: the geometric mean of how many times it is as fast as the first one, over so
    many cases that both have right; and in how many it is the fastest of all, with none that may be as fast."""

    suite: str
    where: str
    mean: float
    cases: int
    fastest: int


@dataclass(frozen=True)
class Crossing:
    """Where one backend overtakes another as batches grow: about at that size, between those that were
    measured."""

    suite: str
    size: float
    slower: str
    faster: str


def groups(rows: Sequence[Row]) -> dict[RowKey, list[Row]]:
    """The rows of each case at each shape and dtype, one for each backend."""
    found: dict[RowKey, list[Row]] = {}
    for row in rows:
        found.setdefault((row.suite, row.case, row.size, row.shape, row.dtype), []).append(row)
    return found


def ratio(row: Row, base: Row) -> float | None:
    """How many times as fast as another one a row is."""
    return base.median_s / row.median_s if row.median_s and base.median_s else None


def fastest(rows: Sequence[Row]) -> list[Row]:
    """The fastest of those that are right, and those that may be as fast: whose times are no longer with
    certainty."""
    right = [row for row in rows if row.turns and not row.wrong]
    if not right:
        return []
    best = min(right, key=lambda row: row.median_s or math.inf)
    return [best, *(row for row in right if row is not best and not _longer(best, row))]


def speeds(run: Run) -> list[Speed]:
    """Every suite's backends."""
    ratios: dict[tuple[str, str], list[float]] = {}
    wins: dict[tuple[str, str], int] = {}
    for (suite, *_), rows in groups(run.rows).items():
        base = rows[0]
        for row in rows:
            if (times := ratio(row, base)) is not None and not row.wrong and not base.wrong:
                ratios.setdefault((suite, row.where), []).append(times)
        best = fastest(rows)
        if len(best) == 1 and len(rows) > 1:
            wins[suite, best[0].where] = wins.get((suite, best[0].where), 0) + 1
    return [
        Speed(suite, where, geometric_mean(found), len(found), wins.get((suite, where), 0))
        for (suite, where), found in ratios.items()
    ]


def best_by_batch(run: Run) -> dict[str, list[tuple[int, list[Row]]]]:
    """For "train" and "predict" of one's own model, each batch size and the backends to use for it: several where
    there is no difference."""
    found: dict[str, list[tuple[int, list[Row]]]] = {}
    for (suite, _, _, shape, _), rows in groups(run.rows).items():
        found.setdefault(suite, []).append((shape[0], fastest(rows)))
    return {suite: sorted(sizes, key=lambda item: item[0]) for suite, sizes in found.items()}


def crossings(run: Run) -> list[Crossing]:
    """Where the lines of two backends cross, on logarithmic axes, between two batch sizes that were measured."""
    curves: dict[str, dict[str, dict[int, Row]]] = {}
    for row in run.rows:
        if row.turns and not row.wrong:
            curves.setdefault(row.suite, {}).setdefault(row.where, {})[row.shape[0]] = row
    found = []
    for suite, by_backend in curves.items():
        names = list(by_backend)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                found += _crossings(suite, one, by_backend[one], other, by_backend[other])
    return sorted(found, key=lambda crossing: (crossing.suite, crossing.size))


def warnings(run: Run) -> list[str]:
    """What makes this run's times doubtful, a line each."""
    notes = []
    cores = run.machine["cpu"]["usable_cores"] or run.machine["cpu"]["logical_cores"]
    if run.load_average > _BUSY * cores:
        notes.append(
            f"the machine was busy before this run, load {run.load_average:.1f} on {cores} cores: such times say "
            f"little, measure again when it is idle"
        )
    if run.stolen is not None and run.stolen > _STOLEN:
        notes.append(f"the host of this virtual machine gave {run.stolen:.0%} of its CPUs' time to others")
    if run.others is not None and run.others > _TAKEN:
        notes.append(
            f"other programs had {run.others:.0%} of the CPUs' time during this run, and who runs on several "
            f"threads waits for the slowest: measure again when the machine is idle"
        )
    pulses = run.pulses_s
    if pulses and max(pulses) > _THROTTLED * min(pulses):
        notes.append(
            f"the CPU slowed down, or others used it: the same piece of Python took {1e3 * min(pulses):.2f} "
            f"to {1e3 * max(pulses):.2f} ms in the course of the run"
        )
    timed = [row for row in run.rows if row.turns]
    wide = [row for row in timed if (width := _half_width(row)) is not None and width > _UNSTEADY]
    if wide:
        notes.append(f"{len(wide)} of {len(timed)} times are known to no better than 10% (the column +-)")
    if outlying := sum(row.outliers > _OUTLYING for row in timed):
        notes.append(
            f"{outlying} of {len(timed)} cases had outliers, over 5% of their samples: the means have them in"
        )
    if restless := sum(not all(turn.steady for turn in row.turns) for row in timed):
        notes.append(
            f"{restless} of {len(timed)} cases were still becoming faster or slower when a turn of theirs began"
        )
    return notes


def _half_width(row: Row) -> float | None:
    if row.interval_s is None or row.median_s is None:
        return None
    return (row.interval_s[1] - row.interval_s[0]) / 2 / row.median_s


def _longer(one: Row, other: Row) -> bool:
    _, interval = ratio_interval(one.times, other.times)
    return interval is not None and interval[0] > 1


def _crossings(suite: str, one: str, ones: dict[int, Row], other: str, others: dict[int, Row]) -> list[Crossing]:
    found = []
    shared = sorted(ones.keys() & others.keys())
    # Above 0 the other one is faster. Where there is no difference there is no crossing yet.
    leads = {size: _lead(ones[size], others[size]) for size in shared}
    certain = [size for size in shared if leads[size] != 0]
    for left, right in pairwise(certain):
        a, b = leads[left], leads[right]
        if (a > 0) == (b > 0):
            continue
        at = math.exp(math.log(left) + (math.log(right) - math.log(left)) * abs(a) / (abs(a) + abs(b)))
        found.append(Crossing(suite, at, *((one, other) if b > 0 else (other, one))))
    return found


def _lead(one: Row, other: Row) -> float:
    estimate, interval = ratio_interval(other.times, one.times)
    if interval is not None and interval[0] <= 1 <= interval[1]:
        return 0.0
    return math.log(estimate)
