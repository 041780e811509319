"""How far a run is, on stderr: a bar, or a line now and then where that is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["show_progress", "show_warmup"]

_REFRESH_S = 0.2
_TELLING = 0.25  # less than that is mostly compilation, and says nothing of what is left


@contextmanager
def show_progress(console: Console, counted: str) -> Iterator[Callable[[str, int, int], None]]:
    """A function to call with what is done now, how many turns, or other things that are counted, are done, and
    all of them."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(),
        TextColumn(f"{counted}, left"), TimeRemainingColumn(),
    )  # fmt: skip
    # Rich's own thread would redraw in the middle of a turn that is being timed; this redraws between turns.
    with Progress(*columns, console=console, auto_refresh=False, expand=True, transient=True) as progress:
        task = progress.add_task("")
        drawn = 0.0

        def update(what: str, done: int, total: int) -> None:
            nonlocal drawn
            progress.update(task, description=f"{what[:34]:34}", completed=done, total=total)
            if monotonic() - drawn > _REFRESH_S:
                progress.refresh()
                drawn = monotonic()

        yield update


@contextmanager
def show_warmup(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A function for `warmup` to call before each op: a bar, or nothing where that is no terminal."""
    if not console.is_terminal:
        yield lambda name, number, count: None
        return
    columns = (
        TextColumn("compiling {task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(),
        TextColumn("ops, left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, expand=True, transient=True) as progress:
        task = progress.add_task("")

        def update(name: str, number: int, count: int) -> None:
            progress.update(task, description=name, completed=number, total=count)

        yield update


def _lines(console: Console) -> Callable[[str, int, int], None]:
    """Plain lines after 1, 2, 4, 8... seconds: few in a log, however long the run."""
    started, wait = monotonic(), 1.0

    def update(what: str, done: int, total: int) -> None:
        nonlocal wait
        seconds = monotonic() - started
        if seconds < wait:
            return
        wait = 2 * seconds
        share = done / total
        left = f", about {seconds / share - seconds:.0f} s left" if share > _TELLING else ""
        console.print(f"{share:.0%} done{left}: {what}", soft_wrap=True)

    return update
