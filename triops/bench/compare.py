"""Runs side by side: which cases can be compared, by which factor each is faster or slower, and how sure that
is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from triops.bench.results import Row, Run
from triops.bench.stats import Interval, geometric_mean, ratio_interval
from triops.errors import ArgumentError

__all__ = ["Comparison", "Mean", "Other", "Pair", "compare"]

_SAME = "no difference"
_OF_A_CPU = ("model", "architecture", "physical_cores", "logical_cores", "caches", "instruction_sets")

Key = tuple[str, str, str, tuple[int, ...], str, str]


@dataclass(frozen=True)
class Pair:
    """A case in the baseline and in another run. speed: how many times as fast the other one is; interval: what
    is known of that, None where there are too few turns. paced: the same speed and interval with each turn's time
    beside that of the same piece of Python, where both ran on one kind of CPU. verdict: "faster", "slower", "no
    difference", or "too few turns"."""

    base: Row
    other: Row
    speed: float
    interval: Interval | None
    paced: tuple[float, Interval | None] | None
    verdict: str

    def surely_below(self, speed: float) -> bool:
        """Whether it has less than that speed with certainty, and not because the CPU ran slower."""
        known = [self.interval, *([self.paced[1]] if self.paced is not None else [])]
        return all(interval is not None and interval[1] < speed for interval in known)


@dataclass(frozen=True)
class Mean:
    """The geometric mean of the speeds of so many cases of a suite on a backend, and its interval, as far as
    their own intervals tell; paced: the same of paced speeds."""

    suite: str
    where: str
    speed: float
    interval: Interval | None
    paced: float | None
    cases: int


@dataclass(frozen=True)
class Other:
    """A run beside the baseline: the cases that can be compared, the means, and a line for each case that
    cannot."""

    run: Run
    pairs: tuple[Pair, ...]
    means: tuple[Mean, ...]
    refused: tuple[str, ...]
    lost: tuple[str, ...]  # of these, what the baseline could, and this run failed in
    cpu_speed: float | None  # how many times as fast a CPU of the same kind was, by the same piece of Python


@dataclass(frozen=True)
class Comparison:
    """All runs beside the baseline. tolerance: how large a difference has to be to count as one."""

    base: Run
    others: tuple[Other, ...]
    tolerance: float

    @property
    def runs(self) -> list[Run]:
        """All runs, the baseline first."""
        return [self.base, *(other.run for other in self.others)]

    def below(self, speed: float) -> list[str]:
        """A line for each thing that is slower than `speed` times the baseline: a case, where that is certain;
        the mean of a suite; and what failed, or became wrong, which is slower than anything. Raises ArgumentError
        where nothing could be below it."""
        if not speed > 0:
            raise ArgumentError(f"the speed to be reached must be above 0, as 0.95 for 95%, got {speed}")
        reasons = []
        for other in self.others:
            reasons += [
                f"{other.run.name}: {pair.other.title} on {pair.other.where} has {pair.speed:.2f} of "
                f"the baseline's speed, {pair.interval[1]:.2f} at most"
                for pair in other.pairs
                if pair.interval is not None and pair.surely_below(speed)
            ]
            reasons += [
                f"{other.run.name}: {mean.suite} on {mean.where} has {mean.speed:.2f} of the baseline's speed "
                f"in the geometric mean"
                for mean in other.means
                if max(mean.speed, mean.paced or 0.0) < speed
            ]
            reasons += [f"{other.run.name}: {line}" for line in other.lost]
        return reasons


def compare(runs: Sequence[Run], baseline: str | None = None, tolerance: float = 0.05) -> Comparison:
    """Put runs beside the baseline: the one of that file or name, or the first.

    A difference counts where 1 is outside of the ratio's interval, and the ratio beyond `tolerance`; on one kind
    of CPU, where that also holds beside the speed of the CPU itself, some of which heat, or others on the same
    computer, may have taken. Cases are compared where suite, name, version, shape, dtype, backend and device are
    the same, and both results are right. Raises ArgumentError where there are fewer than two runs, no such
    baseline, or nothing to compare.
    """
    if len(runs) < 2:
        raise ArgumentError(f"compare takes two files or more, got {len(runs)}")
    if not 0 <= tolerance < 1:
        raise ArgumentError(f"the tolerance must be from 0 up to, not including, 1, got {tolerance}")
    runs = _named_apart(runs)
    base = runs[0] if baseline is None else _named(runs, baseline)
    others = tuple(_beside(base, run, tolerance) for run in runs if run is not base)
    if not any(other.pairs for other in others):
        reasons = [line for other in others for line in other.refused] or ["they have no case in common"]
        more = f", and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise ArgumentError(f"nothing can be compared: {'; '.join(reasons[:3])}{more}")
    return Comparison(base, others, tolerance)


def _beside(base: Run, run: Run, tolerance: float) -> Other:
    cpu_speed = _cpu_speed(base, run)
    ours, theirs = ({_key(row): row for row in each.rows} for each in (base, run))
    pairs, refused, lost = [], [], []
    for key, one in ours.items():
        other = theirs.get(key)
        reason = _absence(one, run) if other is None else _refusal(one, other)
        if reason is None and other is not None:
            pairs.append(_pair(one, other, tolerance, cpu_speed is not None))
            continue
        line = f"{one.title} on {one.where}: {reason}"
        refused.append(line)
        if other is not None and _sound(one) and not _sound(other):
            lost.append(line)
    refused += [
        f"{row.title} on {row.where}: {_absence(row, base)}" for key, row in theirs.items() if key not in ours
    ]
    return Other(run, tuple(pairs), tuple(_means(pairs)), tuple(refused), tuple(lost), cpu_speed)


def _pair(base: Row, other: Row, tolerance: float, one_cpu: bool) -> Pair:
    speed, interval = ratio_interval(other.times, base.times)
    verdict, paced = _verdict(speed, interval, tolerance), None
    if one_cpu and base.device.startswith("cpu"):
        paced = ratio_interval(other.paced, base.paced)
        if verdict != _verdict(*paced, tolerance):
            verdict = _SAME
    return Pair(base, other, speed, interval, paced, verdict)


def _verdict(speed: float, interval: Interval | None, tolerance: float) -> str:
    if interval is None:
        return "too few turns"
    if interval[0] > 1 and speed > 1 + tolerance:
        return "faster"
    if interval[1] < 1 and speed < 1 / (1 + tolerance):
        return "slower"
    return _SAME


def _cpu_speed(base: Run, run: Run) -> float | None:
    """How many times as fast the CPU itself was as in the baseline, None where it is another one."""
    one, other = base.machine["cpu"], run.machine["cpu"]
    if any(one.get(name) != other.get(name) for name in _OF_A_CPU) or not (base.pulses_s and run.pulses_s):
        return None
    return median(base.pulses_s) / median(run.pulses_s)


def _means(pairs: Sequence[Pair]) -> list[Mean]:
    found: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        found.setdefault((pair.base.suite, pair.base.where), []).append(pair)
    return [
        Mean(
            suite,
            where,
            geometric_mean(pair.speed for pair in group),
            _mean_interval(group),
            geometric_mean(paced) if (paced := [pair.paced[0] for pair in group if pair.paced]) else None,
            len(group),
        )
        for (suite, where), group in found.items()
    ]


def _mean_interval(pairs: Sequence[Pair]) -> Interval | None:
    """The errors of independent cases add up in squares."""
    squares = 0.0
    for pair in pairs:
        if pair.interval is None:
            return None
        squares += (math.log(pair.interval[1] / pair.interval[0]) / 2) ** 2
    mean, width = geometric_mean(pair.speed for pair in pairs), math.sqrt(squares) / len(pairs)
    return mean * math.exp(-width), mean * math.exp(width)


def _key(row: Row) -> Key:
    return row.suite, row.case, row.dtype, row.shape, row.backend, row.device


def _sound(row: Row) -> bool:
    return bool(row.turns) and row.error is None and not row.wrong


def _refusal(base: Row, other: Row) -> str | None:
    """Why two rows of one key cannot be compared, None where they can."""
    if base.version != other.version:
        return f"it is version {base.version} of the case in the baseline, and {other.version} here"
    for name, row in (("in the baseline", base), ("here", other)):
        if row.error is not None:
            return f"it failed {name}: {row.error}"
        if not row.turns:
            return f"it was not reached {name}"
        if row.wrong:
            return f"its result is wrong {name}"
    return None


def _absence(row: Row, run: Run) -> str:
    """Why a run has nothing to compare a row with."""
    named = [each for each in run.rows if (each.suite, each.case) == (row.suite, row.case)]
    if not named:
        return f"{run.name} has no such case"
    here = [each for each in named if (each.backend, each.device) == (row.backend, row.device)]
    if not here:
        return f"{run.name} has it on {_listed(each.where for each in named)} alone"
    same_shape = [each for each in here if each.shape == row.shape]
    if not same_shape:
        return f"{run.name} has it at {_listed('x'.join(map(str, each.shape)) for each in here)} alone"
    return f"{run.name} has it in {_listed(each.dtype for each in same_shape)} alone"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _named_apart(runs: Sequence[Run]) -> list[Run]:
    """Each with a name of its own; files of the same name in other folders get a number."""
    names: list[str] = []
    for run in runs:
        name = run.name or "run"
        taken = sum(each.partition(" (")[0] == name for each in names)
        names.append(f"{name} ({taken + 1})" if taken else name)
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def _named(runs: Sequence[Run], baseline: str) -> Run:
    for run in runs:
        if run.name in (baseline, Path(baseline).stem):
            return run
    raise ArgumentError(f"no file is named {baseline!r}: the runs are {', '.join(run.name for run in runs)}")
