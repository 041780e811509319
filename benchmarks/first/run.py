"""`python -m benchmarks first`: how long a new process takes to its first results on NumPy."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from benchmarks.report import check_json_file, choose, machine_load, warn_if_busy, write_json
from benchmarks.show import plain_table, widen
from triops.backends.numpy.compiled import COMPILED

__all__ = ["run_first"]

_ROWS = {"few": 4, "many": 2048}
_STEPS = {"eager": "begin_update, finish_update", "step": "compile_step"}
_MODEL = "mlp"


class _Op(NamedTuple):
    name: str


def run_first(contains: Sequence[str], *, rounds: int, json_file: Path | None) -> None:
    """Each op's first call in a process of its own, with no kernel on disk; then whole processes that do one
    train step of the MLP, with the kernels that others before left on disk."""
    check_json_file(json_file)
    chosen = choose("op", map(_Op, sorted(COMPILED)), contains)
    load = machine_load()
    warn_if_busy(load)
    console = Console()
    widen(console)
    found = {"ops": [_op(op.name) for op in chosen], "steps": _steps(rounds)}
    _show(console, found)
    if json_file is not None:
        write_json(json_file, {"load": load, **found})


def _op(name: str) -> dict[str, Any]:
    seconds = {}
    for label, rows in _ROWS.items():
        with tempfile.TemporaryDirectory() as empty:
            seconds[label], _ = _process(empty, "op", name, str(rows))
    return {"name": name, "seconds": seconds}


def _steps(rounds: int) -> list[dict[str, Any]]:
    found = []
    for how, title in _STEPS.items():
        with tempfile.TemporaryDirectory() as folder:
            _, compiling = _process(folder, "step", _MODEL, how)
            _process(folder, "step", _MODEL, how)  # what threads need may be compiled with the second call only
            times = [_process(folder, "step", _MODEL, how)[1] for _ in range(rounds)]
        found.append({"how": title, "no_cache_s": compiling, "seconds": times})
    return found


def _process(cache: str, *arguments: str) -> tuple[float, float]:
    """What the process says, and its own seconds from start to end."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.first.process", *arguments],
        env=os.environ | {"NUMBA_CACHE_DIR": cache}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout), time.perf_counter() - start


def _show(console: Console, found: dict[str, Any]) -> None:
    table = plain_table()
    table.add_column("first call, no kernel on disk")
    for label, rows in _ROWS.items():
        table.add_column(f"{label} rows ({rows}), s", justify="right")
    for op in found["ops"]:
        table.add_row(op["name"], *(f"{op['seconds'][label]:.2f}" for label in _ROWS))
    console.print(table)
    console.print()
    table = plain_table()
    table.add_column("a process with one step of the MLP")
    for title in ("kernels on disk, s", "least", "no kernel on disk, s"):
        table.add_column(title, justify="right")
    for step in found["steps"]:
        times = step["seconds"]
        table.add_row(
            step["how"], f"{statistics.median(times):.2f}", f"{min(times):.2f}", f"{step['no_cache_s']:.2f}"
        )
    console.print(table)
