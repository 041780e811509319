"""What the tables have in common. ASCII only, since not every terminal and log shows more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from rich.console import Console
from rich.table import Table

from benchmarks.turns import Result

__all__ = ["WRONG", "Compared", "plain_table", "ratio_cell", "troubles", "widen"]

WRONG = "!"
_WIDTH = 120  # the least that holds a row


class Compared(Protocol):
    """A row: what was measured, and each peer's result."""

    @property
    def title(self) -> str: ...

    @property
    def results(self) -> Mapping[str, Result]: ...


def plain_table() -> Table:
    """Columns, and nothing drawn around them."""
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")


def widen(console: Console) -> None:
    """A file has no width: give it one that holds a row."""
    if console.width < _WIDTH and not console.is_terminal:
        console.width = _WIDTH


def ratio_cell(result: Result | None) -> str:
    """One peer's time over that of triops-numpy."""
    if result is None:
        return ""
    if result.ratio is None:
        return "failed"
    return f"{result.ratio:.2f}" + WRONG * result.wrong


def troubles(rows: Iterable[Compared]) -> list[str]:
    """A line for each result that is not there or not right."""
    notes = []
    for row in rows:
        for name, result in row.results.items():
            if result.error:
                notes.append(f"{name} failed in {row.title}: {result.error}")
            elif result.wrong:
                notes.append(f"{name} is wrong in {row.title}: off by {result.difference:.0e}")
    return notes
