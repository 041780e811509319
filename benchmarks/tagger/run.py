"""A run: train in turns, profile a step, print both tables, write the file."""

from __future__ import annotations

import os
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from statistics import mean
from time import perf_counter

from rich.console import Console

from benchmarks.report import (
    check_json_file,
    load_each,
    machine_load,
    warn_if_busy,
    warn_of_slow_blas,
    write_json,
)
from benchmarks.tagger.profile_numpy import profile_numpy
from benchmarks.tagger.table import Row, print_profiles, print_rows
from benchmarks.tagger.text import read_text, varied_batches
from benchmarks.tagger.training import Training
from triops import get_ops

__all__ = ["run_tagger"]

_A_TURN = 25  # batches
_PROFILED = (5, 10)  # rounds, and steps of each


def run_tagger(count: int, *, json_file: Path | None) -> None:
    """Progress goes to stderr, the tables to stdout."""
    check_json_file(json_file)
    load = machine_load()
    os.environ["TRIOPS_JAX_CACHE"] = "0"  # first steps compile
    progress, console = Console(stderr=True, highlight=False), Console(highlight=False)
    start = perf_counter()
    text = read_text("train")
    read_s = perf_counter() - start
    held = read_text("dev", text.names)
    names, left_out = load_each(
        {name: lambda name=name: get_ops(name, "cpu:0").name for name in ("numpy", "jax")}
    )
    classes = len(text.names)
    trainings = {(name, True): Training(name, classes) for name in names}
    trainings["numpy", False] = Training("numpy", classes, compiled=False)
    batches = list(islice(varied_batches(text), count))
    for begin in range(0, count, _A_TURN):
        progress.print(f"{begin}/{count} batches", soft_wrap=True)
        for training in trainings.values():
            training.train(batches[begin : begin + _A_TURN])
    rows = [Row.of(*key, training, held) for key, training in trainings.items()]
    progress.print("where the time goes", soft_wrap=True)
    size = mean(len(batch.tags) for batch in batches)
    batch = min(batches, key=lambda batch: abs(len(batch.tags) - size))
    profiles = {"numpy": profile_numpy(classes, batch, *_PROFILED)}
    if "jax" in names:
        from benchmarks.tagger.profile_jax import profile_jax

        profiles["jax"] = profile_jax(classes, batch, *_PROFILED)
    print_rows(rows, batches, read_s, text, console)
    print_profiles(profiles, batch, console)
    for name, reason in left_out.items():
        console.print(f"{name} is not in the tables: {reason}", soft_wrap=True)
    warn_if_busy(load)
    warn_of_slow_blas()
    if json_file is not None:
        found = {
            "batches": [len(batch.tags) for batch in batches],
            "reading_s": read_s,
            "rows": [asdict(row) for row in rows],
            "profiles": {
                name: asdict(profile) | {"rest_s": profile.rest_s} for name, profile in profiles.items()
            },
            "left_out": left_out,
            "load_before": load,
        }
        write_json(json_file, found)
