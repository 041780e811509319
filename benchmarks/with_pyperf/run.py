"""Both measure the same calls in turns, each in fresh processes of its own, and a table says how far apart they
are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyperf
from rich.console import Console

from benchmarks.report import check_json_file, choose, machine_load, warn_if_busy, write_json
from benchmarks.show import plain_table
from triops.bench.process import WorkerProcess
from triops.bench.settings import Settings
from triops.bench.stats import Interval, median_interval
from triops.bench.table import duration

__all__ = ["run_pyperf"]

_LIMIT_S = 300
_CALLS = (
    ("ops", "gelu", (20, 96)),
    ("ops", "gelu", (32000, 1152)),
    ("ops", "softmax", (4000, 288)),
    ("ops", "layer_norm", (4000, 288)),
    ("ops", "gemm", (4000, 288, 288)),
    ("ops", "adam", (1024, 288)),
)


@dataclass
class Call:
    """A case at a shape, and each round's seconds by both: of pyperf the median of its values, of triops that
    of its turns; both are means of many calls."""

    suite: str
    name: str
    shape: tuple[int, ...]
    pyperf_s: list[float] = field(default_factory=list)
    triops_s: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> tuple[float, Interval | None]:
        """The time by triops over that by pyperf, of each round the one beside the other, and what is known of
        it."""
        ratios = [ours / theirs for ours, theirs in zip(self.triops_s, self.pyperf_s, strict=True)]
        return median(ratios), median_interval(ratios)


def run_pyperf(contains: Sequence[str], backend: str, rounds: int, json_file: Path | None) -> bool:
    """Whether every call takes the same time by both, as far as that is known."""
    calls = choose("call", [Call(*call) for call in _CALLS], contains)
    check_json_file(json_file)
    load, progress = machine_load(), Console(stderr=True, highlight=False)
    for number in range(1, rounds + 1):
        for call in calls:
            progress.print(f"round {number} of {rounds}: {call.name}", soft_wrap=True)
            # Back and forth, so that neither always comes after the other one.
            for measure in (_by_pyperf, _by_triops)[:: 1 if number % 2 else -1]:
                measure(call, backend)
    console = Console(highlight=False)
    table = plain_table()
    for heading in ("call", "pyperf", "triops", "ratio", "interval"):
        table.add_column(heading, justify="left" if heading == "call" else "right", no_wrap=True)
    for call in calls:
        ratio, interval = call.ratio
        table.add_row(
            f"{call.name} {'x'.join(map(str, call.shape))}",
            duration(median(call.pyperf_s)),
            duration(median(call.triops_s)),
            f"{ratio:.3f}",
            "-" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
        )
    console.print(table)
    console.print(
        f"medians of {rounds} rounds, in each of which both measure in fresh processes; ratio: triops over "
        f"pyperf, with its interval of 95%, which 6 rounds have",
        soft_wrap=True,
    )
    warn_if_busy(load)
    if json_file is not None:
        write_json(json_file, {"backend": backend, "rounds": rounds, "calls": [asdict(call) for call in calls]})
    return all(interval is None or interval[0] <= 1 <= interval[1] for _, interval in (c.ratio for c in calls))


def _by_pyperf(call: Call, backend: str) -> None:
    """As pyperf does it by itself, but for the number of its processes: each calibrated, warmed up, and then so
    many values, means of a tenth of a second."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [
            sys.executable, "-m", "benchmarks.with_pyperf.call", "--backend", backend, "--suite", call.suite,
            "--name", call.name, "--shape", "x".join(map(str, call.shape)), "--processes", "2", "--quiet",
            "--inherit-environ", "PYTHONPATH", "--output", str(path),
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        call.pyperf_s.append(pyperf.Benchmark.load(str(path)).median())


def _by_triops(call: Call, backend: str) -> None:
    """As `triops bench run` does it: a fresh process, and some turns."""
    pace: dict[str, Any] = asdict(Settings().pace)
    order = {"suite": call.suite, "name": call.name, "shape": list(call.shape), "dtype": "float32", "pace": pace}
    worker = WorkerProcess()
    try:
        worker.ask("load", limit_s=_LIMIT_S, backend=backend, device="cpu:0", model=None)
        answers = [worker.ask("turn", limit_s=_LIMIT_S, first=number == 0, **order) for number in range(6)]
    finally:
        worker.close()
    call.triops_s.append(median(answer["turn"]["mean_s"] for answer in answers))
