"""A run: choose the tasks, measure them, print the table, write the file."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks.ops.ceilings import measure_ceilings
from benchmarks.report import check_json_file, choose, machine_load, warn_if_busy, warn_of_slow_blas, write_json
from benchmarks.train.measure import FULL, QUICK, Row, measure
from benchmarks.train.memory import measure_memory
from benchmarks.train.peers import load_peers
from benchmarks.train.table import means, print_memory, print_rows
from benchmarks.train.tasks import TASKS

__all__ = ["run_memory", "run_train"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def run_train(contains: Sequence[str], *, quick: bool, json_file: Path | None) -> bool:
    """Whether all results are there and right. Progress goes to stderr, the table to stdout. `quick` takes
    small models and short turns."""
    chosen = choose("task", TASKS, contains)
    check_json_file(json_file)
    load = machine_load()
    _keep_memory()
    os.environ["TRIOPS_JAX_CACHE"] = "0"  # first steps compile, as everyone's
    peers, left_out = load_peers()
    progress = Console(stderr=True, highlight=False)
    progress.print("measuring what the machine can do", soft_wrap=True)
    ceilings = measure_ceilings(quick)
    rows: list[Row] = []
    stopped = False
    try:
        for number, task in enumerate(chosen, 1):
            progress.print(f"{number}/{len(chosen)} {task.name}", soft_wrap=True)
            rows.append(measure(task, "small" if quick else "full", peers, ceilings, QUICK if quick else FULL))
    except KeyboardInterrupt:  # what was measured is shown
        stopped = True
        progress.print(f"stopped after {len(rows)} of {len(chosen)}", soft_wrap=True)
    print_rows(rows, chosen, [peer.name for peer in peers], left_out, ceilings, Console(highlight=False))
    warn_if_busy(load)
    warn_of_slow_blas()
    good = not stopped and not any(row.bad for row in rows)
    if json_file is not None:
        found = {
            "peers": {peer.name: peer.version for peer in peers},
            "left_out": left_out,
            "ceilings": asdict(ceilings),
            "geometric_means": means(rows),
            "all_right": not any(row.bad for row in rows),
            "rows": [asdict(row) for row in rows],
            "quick": quick,
            "stopped": stopped,
            "load_before": load,
        }
        write_json(json_file, found)
    return good


def run_memory(contains: Sequence[str], *, quick: bool, json_file: Path | None) -> bool:
    """Whether every peer could be measured."""
    (task, *_) = choose("task", TASKS, contains or ["tagger"])
    check_json_file(json_file)
    found, left_out = measure_memory(task, "small" if quick else "full")
    print_memory(found, left_out, task, Console(highlight=False))
    if json_file is not None:
        write_json(json_file, {"task": task.name, "quick": quick, "peak_bytes": found, "left_out": left_out})
    return bool(found)


def _keep_memory() -> None:
    """Have the C library keep what is freed: XLA's buffers, and others' large arrays, are else new pages in each
    step, for which every peer would pay by chance."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**30)
