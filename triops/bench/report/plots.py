"""The page's plots, drawn by matplotlib as SVG inside the page: text stays text, colours follow the page's light
or dark, series differ by marker as well as by colour, and each point says what it is when it is pointed at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

from triops.bench.ceilings import best_of
from triops.bench.compare import Comparison
from triops.bench.extras import load_extra
from triops.bench.results import Row, Run
from triops.bench.stats import geometric_mean
from triops.bench.summary import ratio, speeds
from triops.bench.table import duration

__all__ = ["Plot", "draw_plots"]

_MARKERS = "os^Dv*XP"
# What is drawn in these becomes a colour of the page's style.
_SERIES = tuple(f"#0000{number:02x}" for number in range(1, 9))
_INK, _LINE = "#0000f0", "#0000f1"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "triops",
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "axes.titlesize": 11,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _LINE,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
_WIDE, _HIGH = 6.4, 4.2  # inches, which the page scales


@dataclass(frozen=True)
class Plot:
    """An SVG element, and the words below it."""

    svg: str
    caption: str


class _Canvas:
    """A figure with one pair of axes, and what its points are called."""

    def __init__(self, title: str, x: str, y: str) -> None:
        matplotlib = load_extra("matplotlib.figure", "matplotlib")
        self.title, self._figure = title, matplotlib.Figure(figsize=(_WIDE, _HIGH), layout="constrained")
        self.axes: Any = self._figure.add_subplot()
        self.axes.set(title=title, xlabel=x, ylabel=y)
        self.axes.grid(True)
        self.axes.spines[["top", "right"]].set_visible(False)
        self._names: list[str] = []

    def point(self, x: float, y: float, series: int, name: str, label: str | None = None) -> None:
        """One point, with words for who points at it."""
        self.axes.plot(
            [x], [y], _MARKERS[series % len(_MARKERS)], color=_SERIES[series % len(_SERIES)], markersize=6,
            gid=f"point{len(self._names)}", label=label, linestyle="none",
        )  # fmt: skip
        self._names.append(name)

    def legend_above(self, columns: int) -> None:
        """The legend between title and plot, where it covers no bar."""
        self.axes.legend(
            fontsize=8, ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 1.0), borderaxespad=0.0
        )
        self.axes.title.set_y(1.0)
        self.axes.set_title(self.title, pad=20)

    def plot(self, number: int, caption: str) -> Plot:
        """The finished plot; `number` keeps its ids apart from those of others on the page."""
        file = StringIO()
        self._figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        svg = file.getvalue()
        svg = svg[svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        for i, name in enumerate(self._names):
            svg = svg.replace(f'<g id="point{i}">', f'<g id="point{i}"><title>{escape(name)}</title>')
        svg = re.sub(r'\bid="', f'id="plot{number}-', svg)
        svg = re.sub(r'(url\(#|href="#)', rf"\1plot{number}-", svg)
        for i, colour in enumerate(_SERIES):
            svg = svg.replace(colour, f"var(--s{i})")
        svg = svg.replace(_INK, "var(--ink)").replace(_LINE, "var(--line)")
        label = f'<svg role="img" aria-label="{escape(self.title)}: {escape(caption)}"'
        return Plot(svg.replace("<svg", label, 1), caption)


def draw_plots(runs: Sequence[Run], comparison: Comparison | None = None) -> list[Plot]:
    """The plots that these runs have the numbers for. Raises BackendUnavailable where matplotlib is missing."""
    with load_extra("matplotlib", "matplotlib").rc_context(_STYLE):
        canvases = [canvas for run in runs for canvas in _of_run(run, len(runs) > 1)]
        canvases += _threads(runs)
        if comparison is not None:
            canvases.append(_compared(comparison))
        return [canvas.plot(number, caption) for number, (canvas, caption) in enumerate(canvases)]


Captioned = tuple[_Canvas, str]


def _of_run(run: Run, several: bool) -> Iterable[Captioned]:
    suffix = f", {run.name}" if several else ""
    if run.settings["model"]:
        for suite in dict.fromkeys(row.suite for row in run.rows):
            yield _batches(run, suite, suffix)
        return
    if len(run.targets) > 1:
        yield _suites(run, suffix)
    for device in dict.fromkeys(target.device for target in run.targets if target.ceilings is not None):
        rows = [row for row in run.rows if row.device == device and row.turns and row.flops]
        if rows:
            yield _roofline(run, device, rows, suffix)
    if len(run.settings["sizes"]) > 1:
        yield _sizes(run, suffix)


def _roofline(run: Run, device: str, rows: Sequence[Row], suffix: str) -> Captioned:
    """Williams, Waterman and Patterson 2009, Roofline: An Insightful Visual Performance Model."""
    canvas = _Canvas(f"Roofline of {device}{suffix}", "operations a byte", "GFLOP/s")
    axes = canvas.axes
    ceilings = best_of(t.ceilings for t in run.targets if t.device == device and t.ceilings is not None)
    intensities = [(row.flops or 0) / (row.bytes_moved or 1) for row in rows]
    left, right = min(intensities) / 2, max(max(intensities) * 2, 100.0)
    largest, fastest = max(ceilings.copy_bytes_s), max(ceilings.copy_bytes_s, key=ceilings.copy_rate)
    for dtype, peak in ceilings.gemm_flops_s.items():
        for size, dashes in {largest: "solid", fastest: "dashed"}.items():
            rate = ceilings.copy_bytes_s[size]
            ridge = min(max(peak / rate, left), right)
            axes.plot(
                [left, ridge, right], [left * rate / 1e9, peak / 1e9, peak / 1e9], linestyle=dashes, color=_INK,
                linewidth=1, label=f"{dtype} limit, {_mib(size)} at {rate / 1e9:.0f} GB/s",
            )  # fmt: skip
    wheres = list(dict.fromkeys(row.where for row in rows))
    labelled: set[str] = set()
    for row, intensity in zip(rows, intensities, strict=True):
        speed = (row.flops or 0) / (row.median_s or 1) / 1e9
        share = f", {row.share:.0%} of the ceiling" if row.share else ""
        name = f"{row.title} on {row.where}: {duration(row.median_s or 0)}, {speed:.1f} GFLOP/s{share}"
        label = None if row.where in labelled else row.where
        labelled.add(row.where)
        canvas.point(intensity, speed, wheres.index(row.where), name, label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(fontsize=8, loc="lower right")
    return canvas, (
        "Each case's arithmetic beside what the machine can do: below the slanted lines memory is the limit "
        "(solid: of large arrays, dashed: of the size that is copied fastest), below the level one arithmetic is."
    )


def _suites(run: Run, suffix: str) -> Captioned:
    canvas = _Canvas(f"Speed by suite{suffix}", "", f"times as fast as {run.targets[0].where}")
    found = speeds(run)
    suites = list(dict.fromkeys(speed.suite for speed in found))
    wheres = [target.where for target in run.targets]
    _bars(canvas, suites, wheres, {(speed.suite, speed.where): speed.mean for speed in found})
    return canvas, "The geometric mean over the cases of each suite; higher is faster."


def _compared(comparison: Comparison) -> Captioned:
    canvas = _Canvas(f"Speed beside {comparison.base.name}", "", f"times as fast as {comparison.base.name}")
    means = {
        (f"{mean.suite}\n{mean.where.partition(' ')[0]}", other.run.name): mean.speed
        for other in comparison.others
        for mean in other.means
    }
    groups = list(dict.fromkeys(group for group, _ in means))
    _bars(canvas, groups, [other.run.name for other in comparison.others], means)
    return canvas, "The geometric mean over the cases that can be compared; above 1 is faster than the baseline."


def _bars(
    canvas: _Canvas, groups: Sequence[str], series: Sequence[str], values: dict[tuple[str, str], float]
) -> None:
    width = 0.8 / max(len(series), 1)
    for i, name in enumerate(series):
        there = [(at, values[group, name]) for at, group in enumerate(groups) if (group, name) in values]
        canvas.axes.bar(
            [at + (i - (len(series) - 1) / 2) * width for at, _ in there], [value for _, value in there],
            width=0.9 * width, color=_SERIES[i % len(_SERIES)], label=name,
        )  # fmt: skip
        for at, value in there:
            x = at + (i - (len(series) - 1) / 2) * width
            canvas.axes.text(x, value, f"{value:.2f}", ha="center", va="bottom", fontsize=8)
    canvas.axes.axhline(1, color=_INK, linewidth=1)
    canvas.axes.set_xticks(range(len(groups)), groups)
    if len(series) > 1:
        canvas.legend_above(len(series))


def _batches(run: Run, suite: str, suffix: str) -> Captioned:
    canvas = _Canvas(f"{suite} by batch size{suffix}", "batch size", "samples a second")
    for series, target in enumerate(run.targets):
        rows = [row for row in run.rows if (row.suite, row.where) == (suite, target.where) and row.turns]
        _line(
            canvas, series, target.where,
            [(row.shape[0], row.shape[0] / (row.median_s or 1), duration(row.median_s or 0)) for row in rows],
        )  # fmt: skip
    canvas.axes.set_xscale("log", base=2)
    canvas.axes.set_yscale("log")
    sizes = sorted({row.shape[0] for row in run.rows})
    canvas.axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    canvas.axes.minorticks_off()
    canvas.axes.legend(fontsize=8)
    return canvas, "Where two lines cross, the other backend becomes the faster one."


def _sizes(run: Run, suffix: str) -> Captioned:
    canvas = _Canvas(f"Share of the ceiling by size{suffix}", "size of the cases", "share of the ceiling")
    sizes = run.settings["sizes"]
    for series, target in enumerate(run.targets):
        points = []
        for at, size in enumerate(sizes):
            rows = [row for row in run.rows if (row.size, row.where) == (size, target.where)]
            shares = [row.share for row in rows if row.share]
            if shares:
                mean = geometric_mean(shares)
                points.append((at, mean, f"{size}, {mean:.0%} over {len(shares)} cases"))
        _line(canvas, series, target.where, points)
    canvas.axes.set_xticks(range(len(sizes)), sizes)
    canvas.axes.legend(fontsize=8)
    return canvas, "The geometric mean over all cases: how close to what the machine can do, as the work grows."


def _threads(runs: Sequence[Run]) -> Iterable[Captioned]:
    """Runs of one processor on other numbers of threads."""
    by_threads = {run.settings["threads"] or run.machine["cpu"]["usable_cores"]: run for run in runs}
    if len(by_threads) < 2 or len({run.machine["cpu"]["model"] for run in runs}) > 1:
        return
    canvas = _Canvas("Speed by threads", "threads", f"times as fast as {min(by_threads)}")
    numbers = sorted(by_threads)
    first = {_case(row): row for row in by_threads[numbers[0]].rows}
    groups = list(dict.fromkeys((row.suite, row.backend) for row in first.values()))
    for series, (suite, backend) in enumerate(groups):
        points = []
        for number in numbers:
            rows = [row for row in by_threads[number].rows if (row.suite, row.backend) == (suite, backend)]
            pairs = [(row, first[_case(row)]) for row in rows if _case(row) in first]
            ratios = [times for row, base in pairs if (times := ratio(row, base))]
            if ratios:
                mean = geometric_mean(ratios)
                points.append((number, mean, f"{suite} on {backend}, {number} threads: {mean:.2f}"))
        _line(canvas, series, f"{suite}, {backend}", points)
    canvas.axes.plot(
        numbers, [number / numbers[0] for number in numbers], ":", color=_INK, linewidth=1, label="ideal"
    )
    canvas.axes.set_xticks(numbers)
    canvas.axes.legend(fontsize=8)
    yield canvas, "The geometric mean of each suite; on the dotted line every thread would count in full."


def _line(canvas: _Canvas, series: int, label: str, points: Sequence[tuple[float, float, str]]) -> None:
    canvas.axes.plot(
        [x for x, _, _ in points], [y for _, y, _ in points], color=_SERIES[series % len(_SERIES)],
        linestyle=("solid", "dashed", "dashdot")[series % 3], linewidth=1.5,
    )  # fmt: skip
    for number, (x, y, name) in enumerate(points):
        canvas.point(x, y, series, f"{label}: {name}", label if number == 0 else None)


def _case(row: Row) -> tuple[object, ...]:
    return row.suite, row.case, row.shape, row.dtype, row.backend


def _mib(size: int) -> str:
    return f"{size / 2**20:g} MiB"
