"""The page: what matters first, then plots, then tables, then what the machines are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from triops.bench.compare import Comparison, compare
from triops.bench.report.plots import Plot, draw_plots
from triops.bench.report.tables import comparison_tables, result_table, speed_table
from triops.bench.results import Run
from triops.bench.summary import best_by_batch, crossings, speeds, warnings
from triops.bench.table import short_machine
from triops.errors import ArgumentError

__all__ = ["to_html"]


def to_html(runs: Sequence[Run], comparison: Comparison | None = None) -> str:
    """The page of one or several runs, and where they can be compared, of how they compare."""
    if comparison is None and len(runs) > 1:
        try:
            comparison = compare(runs)
        except ArgumentError:  # they have nothing in common, and stand beside each other
            comparison = None
    runs = list(runs) if comparison is None else comparison.runs
    body = [
        "<header><h1>triops benchmark</h1>",
        f"<p>{escape('; '.join(_run_line(run) for run in runs))}</p></header><main>",
        *_summary(runs, comparison),
        *_plots(draw_plots(runs, comparison)),
        *(comparison_tables(comparison) if comparison is not None else ()),
        result_table(runs),
        *_machines(runs),
        "</main>",
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # Without this a browser asks the server for an icon.
            '<link rel="icon" href="data:,"><title>triops benchmark</title>',
            f"<style>{_asset('page.css')}</style></head><body>",
            *body,
            f"<script>{_asset('page.js')}</script></body></html>\n",
        ]
    )


def _asset(name: str) -> str:
    return files("triops.bench.report").joinpath(name).read_text("utf-8")


def _run_line(run: Run) -> str:
    threads = run.settings["threads"] or run.machine["cpu"]["usable_cores"]
    name = f"{run.name}: " if run.name else ""
    return f"{name}{run.started[:10]}, {threads} thread{'s' * (threads != 1)}, {len(run.rows)} rows"


def _summary(runs: Sequence[Run], comparison: Comparison | None) -> Iterable[str]:
    yield "<section><h2>Summary</h2>"
    for run in runs:
        if len(runs) > 1:
            yield f"<h3>{escape(run.name)}</h3>"
        yield f"<p class=machine>{escape(short_machine(run.machine))}</p>"
        yield "<ul>"
        yield from (*_headlines(run), *_troubles(run))
        yield "</ul>"
        if not run.settings["model"]:
            yield speed_table(run)
    if comparison is not None:
        yield "<h3>Compared with " + escape(comparison.base.name) + "</h3><ul>"
        for other in comparison.others:
            verdicts: dict[str, int] = {}
            for pair in other.pairs:
                verdicts[pair.verdict] = verdicts.get(pair.verdict, 0) + 1
            counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
            yield f"<li>{escape(other.run.name)}: {counts}, of {len(other.pairs)} cases</li>"
        yield "</ul>"
    yield "</section>"


def _headlines(run: Run) -> Iterable[str]:
    if run.settings["model"]:
        for suite, sizes in best_by_batch(run).items():
            parts = [f"{size}: {' or '.join(row.where for row in best) or 'none'}" for size, best in sizes]
            yield f"<li>{escape(suite)}, the backend to use by batch size: {escape('; '.join(parts))}</li>"
        for crossing in crossings(run):
            yield (
                f"<li>{escape(crossing.suite)}: from a batch of about {crossing.size:.0f} on "
                f"{escape(crossing.faster)} is faster than {escape(crossing.slower)}</li>"
            )
        return
    found = speeds(run)
    for suite in dict.fromkeys(speed.suite for speed in found):
        of_suite = [speed for speed in found if speed.suite == suite]
        best = max(of_suite, key=lambda speed: speed.mean)
        if len(of_suite) > 1:
            slowest = min(of_suite, key=lambda speed: speed.mean)
            yield (
                f"<li><b>{escape(suite)}</b>: {escape(best.where)} is the fastest in the geometric mean, "
                f"{best.mean / slowest.mean:.2f} times as fast as {escape(slowest.where)}</li>"
            )


def _troubles(run: Run) -> Iterable[str]:
    for target in run.targets:
        if target.error:
            yield f"<li class=bad>{escape(target.where)} could not be measured: {escape(target.error)}</li>"
    for row in run.rows:
        if row.error:
            yield f"<li class=bad>{escape(row.title)} failed on {escape(row.where)}: {escape(row.error)}</li>"
        elif row.wrong:
            yield f"<li class=bad>{escape(row.title)} is wrong on {escape(row.where)}</li>"
    if run.interrupted:
        yield "<li class=bad>the run was stopped by hand before it was done</li>"
    for warning in warnings(run):
        yield f"<li class=warn>{escape(warning)}</li>"


def _plots(plots: Sequence[Plot]) -> Iterable[str]:
    if not plots:
        return
    yield "<section><h2>Plots</h2><div class=plots>"
    for plot in plots:
        yield f"<figure tabindex=0>{plot.svg}<figcaption>{escape(plot.caption)}</figcaption></figure>"
    yield "</div></section>"


def _machines(runs: Sequence[Run]) -> Iterable[str]:
    yield "<section><h2>Machines</h2>"
    for run in runs:
        yield f"<details{' open' * (len(runs) == 1)}><summary>{escape(run.name or 'this machine')}</summary>"
        found = {**run.machine, "software": run.software, "left out": run.left_out}
        if run.ahead.kernels:
            found["compiled before"] = f"{run.ahead.kernels} kernels in {run.ahead.seconds:.0f} s"
        yield _definitions(found)
        for target in run.targets:
            yield f"<h4>{escape(target.where)}</h4>"
            ceilings = target.ceilings
            yield _definitions(
                {
                    "versions": target.versions,
                    "seconds to load": target.load_s,
                    "energy": target.energy,
                    "copies, GB/s by size": None
                    if ceilings is None
                    else {
                        f"{size / 2**20:g} MiB": f"{rate / 1e9:.1f}"
                        for size, rate in ceilings.copy_bytes_s.items()
                    },
                    "matrix products, GFLOP/s": None
                    if ceilings is None
                    else {dtype: f"{rate / 1e9:.0f}" for dtype, rate in ceilings.gemm_flops_s.items()},
                }
            )
        yield "</details>"
    yield "</section>"


def _definitions(content: dict[str, Any]) -> str:
    items = "".join(
        f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{_value(value)}</dd>" for name, value in content.items()
    )
    return f"<dl>{items}</dl>"


def _value(value: Any) -> str:
    if value is None or value == {} or value == []:
        return "<span class=none>unavailable</span>"
    if isinstance(value, dict):
        return _definitions(value)
    if isinstance(value, list):
        if any(isinstance(item, dict) for item in value):
            return "".join(map(_value, value))
        return escape(" ".join(map(str, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return escape(f"{value:.3g}")
    return escape(f"{value:,}" if isinstance(value, int) else str(value))
