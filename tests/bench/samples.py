"""Runs that nobody measured, to compare, show, save and damage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from triops.bench.ceilings import Ceilings
from triops.bench.results import Ahead, Row, Run, Target, TurnTimes

__all__ = ["RELU", "RUN", "drawn", "row", "timed", "turn"]

SETTINGS: dict[str, Any] = {
    "suites": ["ops", "train"],
    "sizes": ["typical"],
    "dtypes": ["float32"],
    "filter": [],
    "threads": None,
    "quick": False,
    "turns": 9,
    "processes": 3,
    "confidence": 0.95,
    "model": None,
    "batch_sizes": [],
}
MACHINE: dict[str, Any] = {
    "cpu": {
        "model": "Some CPU",
        "architecture": "x86_64",
        "physical_cores": 2,
        "logical_cores": 4,
        "usable_cores": 4,
        "cgroup_cpus": None,
        "instruction_sets": ["avx2"],
    },
    "memory": {"total_bytes": 2**34, "cgroup_bytes": None},
    "os": {"system": "Linux"},
    "gpus": [{"name": "Some GPU", "memory_bytes": 2**33, "driver": "1"}],
    "threads": {"settings": {}, "pools": []},
}


def turn(
    seconds: float, process: int = 0, *, steady: bool = True, outliers: int = 0, pulse: float = 1e-3
) -> TurnTimes:
    return TurnTimes(
        seconds, seconds, 0.99 * seconds, 1.01 * seconds, 0.98 * seconds, 20, 5, outliers, steady, pulse, process
    )


def drawn(
    seconds: float, seed: int, turns: int = 9, noise: float = 0.03, pulse: float = 1e-3
) -> tuple[TurnTimes, ...]:
    """Turns of about that time, scattered as on a quiet machine."""
    random = Random(seed)
    return tuple(turn(seconds * random.lognormvariate(0, noise), i // 3, pulse=pulse) for i in range(turns))


def row(case: str, seconds: float, seed: int = 0, **changes: Any) -> Row:
    plain = Row(
        suite="ops",
        case=case,
        version=1,
        size="typical",
        shape=(4000, 288),
        dtype="float32",
        backend="numpy",
        device="cpu:0",
        tolerance=1e-5,
        turns=drawn(seconds, seed),
        first_s=0.1,
        compile_s=0.05,
        to_device_s=1e-3,
        to_host_s=2e-3,
        difference=1e-7,
        samples=4000,
        bytes_moved=9_216_000,
        flops=3_456_000.0,
        ceiling_s=0.4 * seconds,
    )
    return replace(plain, **changes)


RELU = row("relu", 1e-4)
CEILINGS = Ceilings({2**20: 4e10, 2**28: 1e10}, {"float32": 2e11}, 1e-6)
RUN = Run(
    started="2026-01-02T03:04:05+00:00",
    ahead=Ahead(63, 24.5),
    seconds=60.5,
    interrupted=False,
    settings=SETTINGS,
    software={"triops": "0.1.0", "python": "3.11.7"},
    machine=MACHINE,
    load_average=0.1,
    stolen=0.001,
    others=0.002,
    left_out={"cupy": "it needs a GPU: pip install 'triops[cupy-cuda13x]'"},
    targets=(
        Target("numpy", "cpu:0", {"numpy": "2.0"}, 0.2, "unavailable: no RAPL counter", CEILINGS),
        Target("jax", "cpu:0", {"jax": "0.10"}, 1.2, "unavailable: no RAPL counter", CEILINGS),
    ),
    rows=(
        RELU,
        row("relu", 2e-4, 1, backend="jax"),
        row("gelu", 3e-4, 2),
        row("gelu", 1e-4, 3, backend="jax"),
        row("digits", 1e-3, 4, suite="train", found={"accuracy": 0.983}),
        row("digits", 2e-3, 5, suite="train", backend="jax", turns=(), error="RuntimeError: out of memory"),
    ),
    name="base",
)


def timed(name: str, factor: float, seed: int) -> Run:
    """The same run again, of which all takes that many times as long."""
    rows: Sequence[Row] = [
        replace(
            each,
            turns=tuple(
                replace(one, mean_s=factor * one.mean_s * Random(seed + 7 * i + j).lognormvariate(0, 0.03))
                for j, one in enumerate(each.turns)
            ),
        )
        for i, each in enumerate(RUN.rows)
    ]
    return replace(RUN, name=name, rows=tuple(rows))
