"""The command line: `python -m benchmarks ops`, `train`, `tagger`, `varied`, `spacy`, `pyperf`,
`first`."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


class Size(StrEnum):
    """Which shapes of a case are measured."""

    small = "small"
    typical = "typical"
    large = "large"


Filter = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="TEXT", help="Only those whose name contains this; repeatable."),
]
Quick = Annotated[bool, typer.Option("--quick", help="Short turns: a trial, no measurement.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write everything that was measured.")
]
Batches = Annotated[int, typer.Option("--batches", min=1, metavar="N", help="How many batches of sentences.")]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="Cores for every peer.")]


@app.callback()
def main() -> None:
    """Measure triops side by side with its peers."""


@app.command()
def ops(
    contains: Filter = None,
    size: Annotated[list[Size] | None, typer.Option(help="Only shapes of this size; repeatable.")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
    threads: Threads = None,
) -> None:
    """Each op against every peer that is installed. Exit status: 1 where a result is wrong or a peer failed, 2
    for wrong input."""
    if threads is not None:
        _limit_threads(threads)
    # Libraries read those limits when they are loaded: nothing above may load them.
    from benchmarks.ops.run import run_ops

    good = run_ops(contains or [], [str(each) for each in size or Size], quick=quick, json_file=json_file)
    sys.exit(0 if good else 1)


@app.command()
def train(
    contains: Filter = None,
    quick: Quick = False,
    json_file: JsonFile = None,
    threads: Threads = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="The memory of the tagger's steps, or of the task of --filter.")
    ] = False,
) -> None:
    """Train steps of whole models against every peer that is installed; --quick takes small models, too. Exit
    status: 1 where a result is wrong or a peer failed, 2 for wrong input."""
    if threads is not None:
        _limit_threads(threads)
    from benchmarks.train.run import run_memory, run_train

    good = (run_memory if memory else run_train)(contains or [], quick=quick, json_file=json_file)
    sys.exit(0 if good else 1)


@app.command()
def varied(count: Batches = 200, json_file: JsonFile = None) -> None:
    """Compiled steps over batches of sentences of all lengths, beside batches of one shape; and a step of 32
    small parameters, beside the same by hand in JAX. TRIOPS_DATA names the folder of the English Web Treebank."""
    from benchmarks.train.varied import run_varied

    run_varied(count, json_file=json_file)


@app.command()
def tagger(count: Batches = 300, json_file: JsonFile = None, threads: Threads = None) -> None:
    """A tagger of English text on NumPy and on JAX, from text to accuracy: words a second, and what the time of a
    step goes to. TRIOPS_DATA names the folder of the English Web Treebank."""
    if threads is not None:
        _limit_threads(threads)
    from benchmarks.tagger.run import run_tagger

    run_tagger(count, json_file=json_file)


@app.command()
def spacy(
    contains: Filter = None,
    quick: Quick = False,
    json_file: JsonFile = None,
    threads: Threads = None,
) -> None:
    """spaCy's tagger and text categoriser before and after `triops.accelerate_thinc()`, on the text in the folder
    TRIOPS_DATA. Exit status: 1 where the results are not the same, 2 for wrong input."""
    if threads is not None:
        _limit_threads(threads)
    from benchmarks.spacy.run import run_spacy

    sys.exit(0 if run_spacy(contains or [], quick=quick, json_file=json_file) else 1)


@app.command()
def pyperf(
    contains: Filter = None,
    backend: Annotated[str, typer.Option(metavar="NAME", help="numpy, or jax, on the CPU.")] = "numpy",
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="How often both measure each call.")] = 8,
    json_file: JsonFile = None,
) -> None:
    """What `triops bench run` measures beside what pyperf measures of the same calls. Exit status: 1 where they
    differ with certainty, 2 for wrong input."""
    try:
        from benchmarks.with_pyperf.run import run_pyperf
    except ImportError as error:
        raise typer.BadParameter(f"this needs pyperf: pip install 'triops[dev]' ({error})") from error
    sys.exit(0 if run_pyperf(contains or [], backend, rounds, json_file) else 1)


@app.command()
def first(
    contains: Filter = None,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Processes with kernels on disk.")] = 5,
    json_file: JsonFile = None,
) -> None:
    """How long new processes take to their first results on NumPy: each op with no kernel on disk, and a train
    step of the MLP with and without kernels on disk. Exit status: 2 for wrong input."""
    from benchmarks.first.run import run_first

    run_first(contains or [], rounds=rounds, json_file=json_file)


def _limit_threads(count: int) -> None:
    for name in _THREADS:
        os.environ[name] = str(count)
    if hasattr(os, "sched_setaffinity"):
        # XLA has no setting for its pool, which is as wide as the cores that the process may use.
        usable = sorted(os.sched_getaffinity(0))
        if count > len(usable):
            raise typer.BadParameter(
                f"this process may use {len(usable)} cores, got {count}", param_hint="--threads"
            )
        os.sched_setaffinity(0, usable[:count])


if __name__ == "__main__":
    app()
