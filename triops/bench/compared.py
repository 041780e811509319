"""How a comparison looks: in a terminal, as Markdown, as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from io import StringIO

from rich.console import Console

from triops.bench.compare import Comparison, Other, Pair
from triops.bench.stats import CONFIDENCE, Interval
from triops.bench.summary import warnings
from triops.bench.table import duration, plain_table, short_machine

__all__ = ["print_comparison", "to_csv", "to_markdown"]

_HEADINGS = ("case", "backend", "baseline", "here", "speed", "interval", "verdict")


def print_comparison(console: Console, comparison: Comparison) -> None:
    """For each run beside the baseline the means, the cases that differ, and what could not be compared."""
    console.print(f"baseline {_described(comparison.base.name, comparison)}")
    for other in comparison.others:
        console.print(f"{other.run.name}: {short_machine(other.run.machine)}")
    for other in comparison.others:
        console.print()
        table = plain_table(f"{other.run.name}", "backend", "speed", "interval", "cases")
        for mean in other.means:
            table.add_row(mean.suite, mean.where, f"{mean.speed:.2f}", _interval(mean.interval), str(mean.cases))
        console.print(table)
        console.print()
        table = plain_table(*_HEADINGS)
        for pair in other.pairs:
            table.add_row(*_cells(pair))
        console.print(table)
        console.print()
        for note in _notes(other, comparison):
            console.print(note, soft_wrap=True)


def to_markdown(comparison: Comparison) -> str:
    """Tables in GitHub's Markdown: the means first, then every case."""
    lines = [f"Baseline: {_described(comparison.base.name, comparison)}", ""]
    for other in comparison.others:
        lines += [f"## {other.run.name}", "", short_machine(other.run.machine), ""]
        means = [
            (mean.suite, mean.where, f"{mean.speed:.2f}", _interval(mean.interval), str(mean.cases))
            for mean in other.means
        ]
        lines += [*_markdown(("suite", "backend", "speed, geometric mean", "interval", "cases"), means), ""]
        lines += [*_markdown(_HEADINGS, [_cells(pair) for pair in other.pairs]), ""]
        lines += [f"- {_escaped(note)}" for note in _notes(other, comparison)]
        lines.append("")
    return "\n".join(lines)


def to_csv(comparison: Comparison) -> str:
    """A line for each case of each run beside the baseline; times in seconds."""
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ("run", "suite", "case", "shape", "dtype", "backend", "device", "baseline_s", "here_s", "speed", "low",
         "high", "verdict")
    )  # fmt: skip
    for other in comparison.others:
        for pair in other.pairs:
            row = pair.base
            writer.writerow(
                (
                    other.run.name, row.suite, row.case, "x".join(map(str, row.shape)), row.dtype, row.backend,
                    row.device, row.median_s, pair.other.median_s, pair.speed, *(pair.interval or ("", "")),
                    pair.verdict,
                )
            )  # fmt: skip
    return file.getvalue()


def _cells(pair: Pair) -> list[str]:
    return [
        pair.base.title.removesuffix(" float32"),
        pair.base.where,
        duration(pair.base.median_s or 0.0),
        duration(pair.other.median_s or 0.0),
        f"{pair.speed:.2f}",
        _interval(pair.interval),
        pair.verdict,
    ]


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _described(name: str, comparison: Comparison) -> str:
    return f"{name}: {short_machine(comparison.base.machine)}"


def _notes(other: Other, comparison: Comparison) -> Iterable[str]:
    yield (
        f"speed: times the baseline's, above 1 is faster; interval: with {CONFIDENCE:.0%}; no difference: the "
        f"interval holds 1, or the speed is within {comparison.tolerance:.0%} of it"
    )
    if other.cpu_speed is not None and abs(math.log(other.cpu_speed)) > math.log1p(comparison.tolerance):
        yield (
            f"the CPU itself ran at {other.cpu_speed:.2f} times its speed in the baseline, by the same piece of "
            f"Python: what that explains counts as no difference"
        )
    counts: dict[str, int] = {}
    for pair in other.pairs:
        counts[pair.verdict] = counts.get(pair.verdict, 0) + 1
    yield f"of {len(other.pairs)} cases: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}"
    for line in other.refused:
        yield f"not compared: {line}"
    for run in (comparison.base, other.run):
        for warning in warnings(run):
            yield f"{run.name}: {warning}"


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---"] * 2 + ["---:"] * (len(headings) - 2)
    return [f"| {' | '.join(map(_escaped, cells))} |" for cells in (headings, rule, *rows)]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
