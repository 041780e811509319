"""How the rows look in a terminal. ASCII only, since not every terminal and log shows more."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import geometric_mean

from rich.console import Console
from rich.table import Table

from benchmarks.ops.ceilings import Ceilings
from benchmarks.ops.measure import Row
from benchmarks.ops.peers import OURS
from benchmarks.show import WRONG, plain_table, ratio_cell, troubles, widen

__all__ = ["means", "print_rows"]


def means(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """For each peer the geometric mean of its ratios: over all rows, and over those of each size. Wrong results
    do not count."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for row in rows for name in row.results if name != OURS):
        groups: dict[str, list[float]] = {"all": []}
        for row in rows:
            result = row.results.get(name)
            if result is not None and result.ratio is not None and not result.wrong:
                groups["all"].append(result.ratio)
                groups.setdefault(row.size, []).append(result.ratio)
        found[name] = {size: geometric_mean(ratios) for size, ratios in groups.items() if ratios}
    return found


def print_rows(
    rows: Sequence[Row], peers: Sequence[str], left_out: dict[str, str], ceilings: Ceilings, console: Console
) -> None:
    """A row for each op and shape, the geometric means, and what is to know about both."""
    widen(console)
    others = [name for name in peers if name != OURS]
    table = plain_table()
    for heading in ("\nop", "\nshape"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "triops-\nnumpy, us",
        *(f"\n{name}" for name in others),
        "share of\nceiling",
        "largest\ndifference",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        ours = row.results[OURS]
        median = ours.call_s.median_s if ours.call_s else None
        table.add_row(
            row.op,
            "x".join(map(str, row.shape)),
            "failed"
            if median is None
            else f"{1e6 * median:,.{1 if median >= 1e-5 else 2}f}" + WRONG * ours.wrong,
            *(ratio_cell(row.results.get(name)) for name in others),
            "" if row.share is None else f"{row.share:.0%}",
            "" if row.difference is None else f"{row.difference:.0e}",
        )
    console.print(table)
    console.print()
    console.print(_means_table(rows, others))
    console.print()
    copies = ", ".join(f"{_bytes(size)} {rate / 1e9:.0f}" for size, rate in ceilings.copy_bytes_s.items())
    for note in (
        "us: microseconds a call; under each peer its time over that of triops-numpy; above 1 triops is faster",
        "difference: the largest of any peer from the same formula in float64, over the largest entry; "
        f"{WRONG} marks a result that is wrong",
        f"ceiling: copying, GB/s by size: {copies}; matrix product {ceilings.gemm_flops_s / 1e9:.0f} GFLOP/s",
        *(f"{name} is not in the table: {reason}" for name, reason in left_out.items()),
        *troubles(rows),
    ):
        console.print(note, soft_wrap=True)


def _means_table(rows: Sequence[Row], peers: Sequence[str]) -> Table:
    table = plain_table()
    table.add_column("geometric mean", no_wrap=True)
    for name in peers:
        table.add_column(name, justify="right", no_wrap=True)
    found = means(rows)
    for size in (*dict.fromkeys(row.size for row in rows), "all"):
        cells = [found.get(name, {}).get(size) for name in peers]
        table.add_row(size, *("" if cell is None else f"{cell:.2f}" for cell in cells))
    return table


def _bytes(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size // 2**10} KiB"
