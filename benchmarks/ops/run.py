"""A run: choose the cases, measure them, print the table, write the file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.ops.cases import CASES
from benchmarks.ops.ceilings import Ceilings, measure_ceilings
from benchmarks.ops.measure import FULL, QUICK, Row, measure
from benchmarks.ops.peers import Peer, load_peers
from benchmarks.ops.table import means, print_rows
from triops.bench.machine import describe_machine, load_average
from triops.errors import BackendUnavailable

__all__ = ["run_ops"]

_BUSY = 0.5  # processes a core


def run_ops(contains: Sequence[str], sizes: Sequence[str], *, quick: bool, json_file: Path | None) -> bool:
    """Whether all results are there and right. Progress goes to stderr, the table to stdout."""
    chosen = [case for case in CASES if not contains or any(text in case.name for text in contains)]
    if not chosen:
        names = ", ".join(case.name for case in CASES)
        raise typer.BadParameter(f"no op has {' or '.join(contains)} in its name: {names}", param_hint="--filter")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {json_file.parent}", param_hint="--json")
    load = _load()
    peers, left_out = load_peers()
    progress = Console(stderr=True, highlight=False)
    progress.print("measuring what the machine can do", soft_wrap=True)
    ceilings = measure_ceilings(quick)
    work = [(case, size, shape) for case in chosen for size in sizes for shape in case.shapes[size]]
    rows: list[Row] = []
    stopped = False
    try:
        for number, (case, size, shape) in enumerate(work, 1):
            # Between measurements, never during one.
            progress.print(f"{number}/{len(work)} {case.name} {'x'.join(map(str, shape))}", soft_wrap=True)
            rows.append(measure(case, size, shape, peers, ceilings, QUICK if quick else FULL))
    except KeyboardInterrupt:  # what was measured is shown
        stopped = True
        progress.print(f"stopped after {len(rows)} of {len(work)}", soft_wrap=True)
    print_rows(rows, [peer.name for peer in peers], left_out, ceilings, Console(highlight=False))
    if load is not None and load > _BUSY * _cores():
        typer.echo(
            f"the machine was busy before this run, load {load:.1f} on {_cores()} cores: such times say little, "
            f"measure again when it is idle"
        )
    if json_file is not None:
        found = _found(rows, peers, left_out, ceilings) | {
            "quick": quick,
            "stopped": stopped,
            "load_before": load,
        }
        json_file.write_text(json.dumps(found, indent=1) + "\n")
    return not stopped and not any(row.bad for row in rows)


def _found(
    rows: Sequence[Row], peers: Sequence[Peer], left_out: dict[str, str], ceilings: Ceilings
) -> dict[str, Any]:
    try:
        machine = describe_machine()
    except BackendUnavailable:
        machine = None
    return {
        "machine": machine,
        "cores": _cores(),
        "peers": {peer.name: peer.version for peer in peers},
        "left_out": left_out,
        "ceilings": asdict(ceilings),
        "geometric_means": means(rows),
        "all_right": not any(row.bad for row in rows),
        "rows": [_finite(asdict(row)) for row in rows],
    }


def _finite(value: Any) -> Any:
    """JSON knows no infinity, which is the difference of a result that cannot be compared."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load() -> float | None:
    try:
        return load_average()
    except BackendUnavailable:
        return None
