"""The command line: `triops info`, `triops warmup` and `triops bench`. What they show is made in
`triops.bench`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated

import typer
from rich.console import Console

from triops.errors import ArgumentError, TriopsError

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="One model for NumPy, CuPy and JAX: what works on this machine, and how fast.",
)
bench = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure the backends against each other.")
app.add_typer(bench, name="bench")

_FAILED, _WRONG_INPUT, _INTERRUPTED = 1, 2, 130


def main() -> None:
    """Run the command line. Exit status: 0, or 1 where a backend failed, 2 for wrong input or what is not
    installed, 130 after Ctrl-C."""
    try:
        app()
    except TriopsError as error:
        typer.echo(f"triops: {' '.join(str(error).split())}", err=True)
        sys.exit(_WRONG_INPUT)


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the machine, its thread limits, and each backend, or why it cannot be used."""
    from triops.bench.info import collect_info
    from triops.bench.table import print_info

    found = collect_info()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        print_info(_console(), found)


@app.command()
def warmup(
    filter: Annotated[str, typer.Option(metavar="PATTERN", help="Only these ops, as in '*softmax*'.")] = "*",
) -> None:
    """Compile the kernels of the NumPy backend for this CPU, and keep them on disk for every later process."""
    import triops
    from triops.bench.progress import show_warmup

    with show_warmup(_console(stderr=True)) as progress:
        done = triops.warmup(filter, progress)
    typer.echo(
        f"{done.ops} ops in {done.seconds:.1f} s: {done.cached} kernels were on disk, "
        f"{done.compiled} were compiled"
    )
    if done.folder is None:
        typer.echo(
            "they are not kept: no folder can be written to. Set NUMBA_CACHE_DIR to one that can.", err=True
        )
    elif not done.writable and done.compiled:
        typer.echo(f"the compiled ones are not kept: {done.folder} is full or read-only", err=True)
    elif not done.writable:
        typer.echo(f"they are in {done.folder}, which is read-only")
    else:
        typer.echo(f"they are in {done.folder}")


@bench.command("run")
def bench_run(
    backend: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A backend to measure; repeatable. Without: all that are here."),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="DEVICE", help="A device to measure on, as in cuda:1; repeatable."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training digits.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Digits a step.")] = 128,
    learn_rate: Annotated[float, typer.Option(help="Adam's step size.")] = 0.003,
    seed: Annotated[int, typer.Option(help="Of the split, the initial weights and the batches.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write the results as JSON to this file.")] = None,
) -> None:
    """Train a perceptron on handwritten digits on every backend, and compare speed, accuracy and weights."""
    from triops.bench.choose import choose_ops
    from triops.bench.digits import Digits, DigitsSettings
    from triops.bench.progress import show_progress
    from triops.bench.results import to_json
    from triops.bench.run import run
    from triops.bench.table import print_results
    from triops.models.saving import write_whole

    settings = DigitsSettings(epochs, batch_size, learn_rate, seed)
    if output is not None:
        _check_writable(output)
    everyone, left_out = choose_ops(backend or (), device or ())
    case = Digits(settings)
    with show_progress(_console(stderr=True), everyone, case.steps) as progress:
        results = run(case, everyone, progress, left_out)
    print_results(_console(), results)
    if output is not None:
        try:
            write_whole(output, to_json(results).encode())
        except OSError as error:
            raise ArgumentError(f"cannot write {output}: {error.strerror}") from error
    if results.interrupted:
        raise typer.Exit(_INTERRUPTED)
    if any(row.error for row in results.rows):
        raise typer.Exit(_FAILED)


def _check_writable(output: Path) -> None:
    """Before anything is measured: whether a file can be written there."""
    if output.is_dir():
        raise ArgumentError(f"cannot write {output}: it is a folder, name a file in it")
    try:
        with TemporaryFile(dir=output.absolute().parent):
            pass
    except OSError as error:
        raise ArgumentError(f"cannot write {output}: {error.strerror}") from error


def _console(stderr: bool = False) -> Console:
    # Without markup: "triops[bench]" is a name here, not a style.
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)
