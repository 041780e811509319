"""How far a run is, on stderr: a bar for each backend, or a line now and then where that is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from triops.ops import Ops

__all__ = ["show_progress", "show_warmup"]

_REFRESH_S = 0.2
_TELLING = 0.05  # less than that is mostly compilation, and says nothing of what is left


@contextmanager
def show_progress(console: Console, everyone: Sequence[Ops], steps: int) -> Iterator[Callable[[Ops, int], None]]:
    """A function for `run` to call after each step with the ops and the number of steps they trained."""
    if not console.is_terminal:
        yield _lines(console, everyone, steps)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("steps, left"),
        TimeRemainingColumn(),
    )
    # Rich's own thread would redraw in the middle of a step that is being timed; this redraws between steps.
    with Progress(*columns, console=console, auto_refresh=False, expand=True) as progress:
        tasks = {ops: progress.add_task(_label(ops), total=steps) for ops in everyone}
        progress.refresh()
        drawn = monotonic()

        def update(ops: Ops, done: int) -> None:
            nonlocal drawn
            progress.update(tasks[ops], completed=done)
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


def _lines(console: Console, everyone: Sequence[Ops], steps: int) -> Callable[[Ops, int], None]:
    """Plain lines after 1, 2, 4, 8... seconds: few in a log, however long the run."""
    names = ", ".join(map(_label, everyone))
    console.print(f"training {steps} steps on each of {names}", soft_wrap=True)
    finished = dict.fromkeys(everyone, 0)
    started, wait = monotonic(), 1.0

    def update(ops: Ops, done: int) -> None:
        nonlocal wait
        finished[ops] = done
        seconds = monotonic() - started
        if seconds < wait:
            return
        wait = 2 * seconds
        share = sum(finished.values()) / (steps * len(finished))
        left = f", about {seconds / share - seconds:.0f} s left" if share > _TELLING else ""
        console.print(f"{share:.0%} done{left}", soft_wrap=True)

    return update


def _label(ops: Ops) -> str:
    return f"{ops.name} {ops.device}"
