"""How the rows look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import geometric_mean

from rich.console import Console

from benchmarks.ops.ceilings import Ceilings
from benchmarks.show import WRONG, plain_table, ratio_cell, troubles, widen
from benchmarks.train.measure import Row
from benchmarks.train.peers import OURS
from benchmarks.train.task import Task

__all__ = ["means", "print_memory", "print_rows"]


def means(rows: Sequence[Row]) -> dict[str, float]:
    """For each peer the geometric mean of its ratios. Wrong results do not count."""
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row.results if name != OURS):
        ratios = [row.results[name].ratio for row in rows if name in row.results and not row.results[name].wrong]
        known = [ratio for ratio in ratios if ratio is not None]
        if known:
            found[name] = geometric_mean(known)
    return found


def print_rows(
    rows: Sequence[Row],
    tasks: Sequence[Task],
    peers: Sequence[str],
    left_out: Mapping[str, str],
    ceilings: Ceilings,
    console: Console,
) -> None:
    """A row for each task, the geometric means, and what is to know about both."""
    widen(console)
    others = [name for name in peers if name != OURS]
    table = plain_table()
    table.add_column("\ntask", no_wrap=True)
    headings = ("triops-\nnumpy, ms", *(_heading(name) for name in others))
    for heading in (*headings, "\nfloor, ms", "share of\nfloor", "largest\ndifference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        ours = row.results.get(OURS)
        table.add_row(
            row.task,
            _ours_cell(row),
            *(_cell(row, name) for name in others),
            f"{1e3 * row.floor_s:,.3g}",
            "" if ours is None or ours.share is None else f"{ours.share:.0%}",
            "" if row.difference is None else f"{row.difference:.0e}",
        )
    found = means(rows)
    if len(rows) > 1 and found:
        table.add_section()
        table.add_row("geometric mean", "", *(f"{found[name]:.2f}" if name in found else "" for name in others))
    console.print(table)
    console.print()
    shown = [task for task in tasks if any(row.task == task.name for row in rows)]
    for note in (
        "ms: milliseconds a step: forward, loss, backward, Adam, in float32; under each peer its time over that "
        "of triops-numpy; above 1 triops is faster; milliseconds where triops has no such model",
        "floor: the step's matrix products at this machine's matrix product ceiling, "
        f"{ceilings.gemm_flops_s / 1e9:.0f} GFLOP/s, or Adam's reads and writes at its copying ceiling, "
        "whichever takes longer",
        "difference: after some steps, the largest of any peer and parameter from a run in float64, as a share "
        f"of the way the parameter has come; {WRONG} marks a run that went another way",
        *(f"{task.name}: {task.text}" for task in shown),
        *(_first_steps(rows)),
        *(_absences(rows)),
        *(f"{name} in {task.name}: {why}" for task in shown for name, why in task.untrained.items()),
        *(f"{name} is not in the table: {reason}" for name, reason in left_out.items()),
        *troubles(rows),
    ):
        console.print(note, soft_wrap=True)


def print_memory(found: Mapping[str, int], left_out: Mapping[str, str], task: Task, console: Console) -> None:
    """What a step adds to the process, at its peak."""
    widen(console)
    table = plain_table()
    table.add_column("\npeer", no_wrap=True)
    for heading in ("peak,\nMiB", f"over\n{OURS}"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, size in found.items():
        table.add_row(name, f"{size / 2**20:.1f}", f"{size / found[OURS]:.2f}" if found.get(OURS) else "")
    console.print(table)
    console.print()
    console.print(
        f"peak: how much memory the process holds in the first steps of {task.name}, at most, beyond what it "
        "held before them, with the library loaded and the weights and the batch in place; each in a process of "
        "its own",
        soft_wrap=True,
    )
    for name, reason in left_out.items():
        console.print(f"{name} is not in the table: {reason}", soft_wrap=True)


def _heading(name: str) -> str:
    first, dash, rest = name.partition("-")
    return f"{first}{dash}\n{rest}" if dash else f"\n{name}"


def _ours_cell(row: Row) -> str:
    ours = row.results.get(OURS)
    if ours is None:
        return row.absent.get(OURS, "")
    return "failed" if ours.call_s is None else f"{1e3 * ours.call_s.median_s:,.2f}" + WRONG * ours.wrong


def _cell(row: Row, name: str) -> str:
    result = row.results.get(name)
    if result is not None and result.ratio is None and result.call_s is not None:
        return f"{1e3 * result.call_s.median_s:,.2f} ms" + WRONG * result.wrong
    return ratio_cell(result)


def _absences(rows: Sequence[Row]) -> list[str]:
    return [f"{name} is not in {row.task}: {why}" for row in rows for name, why in row.absent.items()]


def _first_steps(rows: Sequence[Row]) -> list[str]:
    """How long each peer's first step took, in which programs are compiled."""
    found = []
    for row in rows:
        seconds = {name: result.first_s for name, result in row.results.items() if result.first_s is not None}
        if seconds:
            found.append(f"first step of {row.task}: " + ", ".join(f"{n} {s:.2f} s" for n, s in seconds.items()))
    return found
