"""The command line: `triops info`, `triops warmup` and `triops bench`. What they show is made in
`triops.bench`."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from triops.bench.commands import bench
from triops.errors import TriopsError

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(bench, name="bench")

_WRONG_INPUT = 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _print_version(wanted: bool) -> None:
    if wanted:
        import triops

        typer.echo(f"triops {triops.__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line. Exit status: 0, or 1 where a backend failed, 2 for wrong input or what is not
    installed or an output that takes no more, 130 after Ctrl-C."""
    try:
        app()
    except TriopsError as error:
        typer.echo(f"triops: {' '.join(str(error).split())}", err=True)
        sys.exit(_WRONG_INPUT)
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        # What is left in the buffer would be written again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        typer.echo(f"triops: cannot write the output: {error.strerror}", err=True)
        sys.exit(_WRONG_INPUT)


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One model for NumPy, CuPy and JAX: what works on this machine, and how fast."""


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


def _console(stderr: bool = False) -> Console:
    # Without markup: "triops[bench]" is a name here, not a style.
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)
