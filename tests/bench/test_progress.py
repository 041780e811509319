"""The progress of a run, in a terminal and in a log."""

from io import StringIO

import pytest
from rich.console import Console

from triops import Ops, get_ops
from triops.backends.numpy import NumpyBackend
from triops.bench import progress
from triops.bench.progress import show_progress


@pytest.fixture
def everyone() -> list[Ops]:
    return [get_ops("numpy"), Ops(NumpyBackend(NumpyBackend.devices()[0]))]


def test_in_a_terminal_a_line_for_each_backend(everyone: list[Ops]) -> None:
    file = StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    with show_progress(console, everyone, 3) as update:
        for step in (1, 2, 3):
            for ops in everyone:
                update(ops, step)
    assert file.getvalue().count("3/3") == 2
    assert "left" in file.getvalue()


def test_elsewhere_plain_lines_that_get_rarer(monkeypatch: pytest.MonkeyPatch, everyone: list[Ops]) -> None:
    seconds = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: seconds[0])
    file = StringIO()
    with show_progress(Console(file=file), everyone, 50) as update:
        for step in range(1, 51):
            for ops in everyone:
                seconds[0] += 0.125
                update(ops, step)
    first, *later = file.getvalue().splitlines()
    assert first == "training 50 steps on each of numpy cpu:0, numpy cpu:0"
    shares = [line.partition(" done")[0] for line in later]
    assert shares == ["8%", "16%", "32%", "64%"]
    assert later[1] == "16% done, about 10 s left"
    assert "\x1b" not in file.getvalue()
