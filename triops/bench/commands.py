"""`triops bench`: run, compare, report. What they do is done in the modules beside this one; here are the
options, and what comes of wrong ones."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from triops.errors import ArgumentError

if TYPE_CHECKING:
    from triops.bench.results import Run
    from triops.bench.settings import Settings

__all__ = ["bench"]

FAILED, INTERRUPTED = 1, 130

bench = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Measure backends and machines, and compare."
)

Many = list[str] | None
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="What `triops bench run --output` wrote.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page.")]


@bench.command("run")
def bench_run(
    backend: Annotated[
        Many, typer.Option(metavar="NAME", help="Only this backend; repeatable. Else all.")
    ] = None,
    device: Annotated[
        Many, typer.Option(metavar="DEVICE", help="Only this device, as cuda:1; repeatable.")
    ] = None,
    suite: Annotated[
        Many, typer.Option(metavar="SUITES", help="Of ops, layers, train, predict, overhead; a,b or repeated.")
    ] = None,
    size: Annotated[Many, typer.Option(metavar="SIZES", help="Of small, typical, large. Else typical.")] = None,
    dtype: Annotated[Many, typer.Option(metavar="DTYPES", help="As float64, bfloat16. Else float32.")] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Cores for each backend. Else all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One case of each kind, and short turns.")] = False,
    filter: Annotated[Many, typer.Option(metavar="TEXT", help="Only cases with this in their name.")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FUNCTION", help="Measure this model: returns (model, sample batch)."),
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Of --model; repeatable. Else 1 to 1024.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the results as JSON.")] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on each kind of node of a Ray cluster.")
    ] = None,
    host_name: Annotated[bool, typer.Option("--host-name", help="Write down the machine's name, too.")] = False,
) -> None:
    """Measure every backend of this machine, each in fresh processes, and check its results.

    Exit status: 0, or 1 where something failed or is wrong, 130 after Ctrl-C, which keeps what is done.
    """
    from triops.bench.ahead import compile_ahead
    from triops.bench.process import check_threads
    from triops.bench.progress import show_progress
    from triops.bench.results import to_json
    from triops.bench.run import look_around, run
    from triops.bench.settings import Settings
    from triops.bench.table import print_run

    settings = Settings(
        suites=_split(suite),
        sizes=_split(size),
        dtypes=_split(dtype),
        filter=_split(filter),
        threads=threads,
        quick=quick,
        model=model,
        batch_sizes=batch_size or (),
    )
    settings.jobs()
    if output is not None:
        check_writable(output)
    if ray is not None:
        _run_on_ray(ray, settings, _split(backend), _split(device), output)
        return
    check_threads(threads)
    plan = look_around(_split(backend), _split(device), threads, host_name=host_name)
    with show_progress(_console(stderr=True), "cases") as progress:
        ahead = compile_ahead(settings, plan, progress)
    with show_progress(_console(stderr=True), "turns") as progress:
        found = run(settings, plan, progress, ahead)
    if output is not None:  # before anything can go wrong with the terminal
        write_text(output, to_json(found))
    print_run(_console(), found)
    _leave(found)


@bench.command("compare")
def bench_compare(
    files: Files,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="A file or its name; else the first.")
    ] = None,
    fail_below: Annotated[
        float | None,
        typer.Option(metavar="SPEED", help="Exit with 1 where anything is slower than this x baseline."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Smaller differences are none: two runs of one machine differ so."),
    ] = 0.05,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    html: Html = None,
) -> None:
    """Put the same cases of several runs side by side: speeds relative to the baseline, with what is certain of
    them.

    Exit status: 0, or 1 below --fail-below, 2 where nothing can be compared.
    """
    from triops.bench.compare import compare
    from triops.bench.compared import print_comparison, to_csv, to_markdown
    from triops.bench.results import read_run

    if markdown and csv:
        raise ArgumentError("--markdown and --csv exclude each other: choose one")
    comparison = compare([read_run(path) for path in files], baseline, tolerance)
    if html is not None:
        from triops.bench.report import to_html

        check_writable(html)
        write_text(html, to_html(comparison.runs, comparison))
    if markdown or csv:
        typer.echo((to_markdown if markdown else to_csv)(comparison), nl=False)
    else:
        print_comparison(_console(), comparison)
    if fail_below is not None and (reasons := comparison.below(fail_below)):
        for reason in reasons:
            typer.echo(reason, err=True)
        raise typer.Exit(FAILED)


@bench.command("report")
def bench_report(
    files: Files,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="The page to write.")],
) -> None:
    """Make one self-contained page of one or several runs: tables, plots, and what the machines are."""
    from triops.bench.report import to_html
    from triops.bench.results import read_run

    check_writable(html)
    write_text(html, to_html([read_run(path) for path in files]))
    typer.echo(f"wrote {html}")


@bench.command("schema")
def bench_schema() -> None:
    """Print the JSON schema of the files that `triops bench run --output` writes."""
    import json

    from triops.bench.results import run_schema

    typer.echo(json.dumps(run_schema(), indent=2))


def check_writable(output: Path) -> None:
    """Before anything is measured: raise ArgumentError where no file can be written there."""
    if output.is_dir():
        raise ArgumentError(f"cannot write {output}: it is a folder, name a file in it")
    if output.exists() and not output.is_file():
        raise ArgumentError(f"cannot write {output}: it is a device, which cannot be replaced by a file")
    try:
        with TemporaryFile(dir=output.absolute().parent):
            pass
    except OSError as error:
        raise ArgumentError(f"cannot write {output}: {error.strerror}") from error


def write_text(output: Path, text: str) -> None:
    """Write a file whole or not at all."""
    from triops.models.saving import write_whole

    try:
        write_whole(output, text.encode())
    except OSError as error:
        raise ArgumentError(f"cannot write {output}: {error.strerror}") from error


def _run_on_ray(
    address: str, settings: Settings, backends: list[str], devices: list[str], output: Path | None
) -> None:
    from triops.bench.cluster import run_on_cluster
    from triops.bench.results import to_json
    from triops.bench.table import print_run

    if output is None:
        raise ArgumentError("--ray needs --output: run.json becomes run-1.json, run-2.json ... for the machines")
    runs = run_on_cluster(address, settings, backends, devices, lambda text: typer.echo(text, err=True))
    for number, found in enumerate(runs, 1):
        path = output.with_stem(f"{output.stem}-{number}")
        write_text(path, to_json(found))
        print_run(_console(), found)
        typer.echo(f"wrote {path}")
    if any(row.error or row.wrong for found in runs for row in found.rows):
        raise typer.Exit(FAILED)


def _split(values: Many) -> list[str]:
    """`--size a,b --size c` is a, b, c."""
    return [part for value in values or () for part in value.split(",") if part]


def _leave(run: Run) -> None:
    if run.interrupted:
        raise typer.Exit(INTERRUPTED)
    if any(row.error or row.wrong for row in run.rows):
        raise typer.Exit(FAILED)


def _console(stderr: bool = False) -> Console:
    # Without markup: "triops[bench]" is a name here, not a style.
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)
