"""A run: choose the pipelines, measure them, print the table, write the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from benchmarks.report import check_json_file, choose, machine_load, warn_if_busy, warn_of_slow_blas, write_json
from benchmarks.show import WRONG, plain_table, widen
from benchmarks.spacy.measure import FULL, QUICK, Measured, measure
from benchmarks.spacy.pipelines import PIPELINES

__all__ = ["print_rows", "run_spacy"]


def run_spacy(contains: Sequence[str], *, quick: bool, json_file: Path | None) -> bool:
    """Whether both give the same results. Progress goes to stderr, the table to stdout."""
    chosen = choose("pipeline", PIPELINES, contains)
    check_json_file(json_file)
    load = machine_load()
    progress = Console(stderr=True, highlight=False)
    rows: list[Measured] = []
    for number, pipeline in enumerate(chosen, 1):
        progress.print(f"{number}/{len(chosen)} {pipeline.name}", soft_wrap=True)
        rows += measure(pipeline, QUICK if quick else FULL)
    print_rows(rows, Console(highlight=False))
    warn_if_busy(load)
    warn_of_slow_blas()
    good = not any(row.differences for row in rows)
    if json_file is not None:
        peers = {name: version(name) for name in ("triops", "spacy", "thinc")}
        found = {"peers": peers, "all_right": good, "quick": quick, "load_before": load}
        write_json(json_file, found | {"rows": [asdict(row) | {"gain": row.gain} for row in rows]})
    return good


def print_rows(rows: Sequence[Measured], console: Console) -> None:
    """Words a second before and after, and what is not the same."""
    widen(console)
    table = plain_table()
    table.add_column("\npipeline", no_wrap=True)
    table.add_column("\ncall", no_wrap=True)
    for heading in ("Thinc's own,\nwords a second", "accelerated,\nwords a second", "\ntimes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        speeds = (f"{row.words_a_second(peer):,.0f}" for peer in ("thinc", "triops"))
        table.add_row(row.pipeline, row.task, *speeds, f"{row.gain:.2f}" + WRONG * bool(row.differences))
    console.print(table)
    for row in rows:
        for difference in row.differences:
            console.print(f"{row.pipeline}, {row.task}: {difference}", soft_wrap=True)
