"""A run: choose the cases, measure them, print the table, write the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.ops.cases import CASES
from benchmarks.ops.ceilings import Ceilings, measure_ceilings
from benchmarks.ops.measure import FULL, QUICK, Row, measure
from benchmarks.ops.peers import Peer, load_peers
from benchmarks.ops.table import means, print_rows
from benchmarks.report import check_json_file, choose, machine_load, warn_if_busy, warn_of_slow_blas, write_json
from triops.backends.compiling import compile_direct

__all__ = ["run_ops"]


def run_ops(contains: Sequence[str], sizes: Sequence[str], *, quick: bool, json_file: Path | None) -> bool:
    """Whether all results are there and right. Progress goes to stderr, the table to stdout."""
    chosen = choose("op", CASES, contains)
    check_json_file(json_file)
    load = machine_load()
    peers, left_out = load_peers()
    progress = Console(stderr=True, highlight=False)
    for case in chosen:
        compile_direct(case.name)
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
    warn_if_busy(load)
    warn_of_slow_blas()
    if json_file is not None:
        found = _found(rows, peers, left_out, ceilings)
        write_json(json_file, found | {"quick": quick, "stopped": stopped, "load_before": load})
    return not stopped and not any(row.bad for row in rows)


def _found(
    rows: Sequence[Row], peers: Sequence[Peer], left_out: dict[str, str], ceilings: Ceilings
) -> dict[str, Any]:
    return {
        "peers": {peer.name: peer.version for peer in peers},
        "left_out": left_out,
        "ceilings": asdict(ceilings),
        "geometric_means": means(rows),
        "all_right": not any(row.bad for row in rows),
        "rows": [asdict(row) for row in rows],
    }
