"""The page's tables. A cell that is sorted by something else than its text has it in `data-value`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from triops.bench.compare import Comparison
from triops.bench.results import Row, Run
from triops.bench.summary import groups, ratio, speeds
from triops.bench.table import duration

__all__ = ["comparison_tables", "result_table", "speed_table"]

Cell = tuple[str, float | None]  # what is shown; what it is sorted by, where that is a number


def speed_table(run: Run) -> str:
    """Each suite's backends."""
    rows = [
        [_text(speed.suite), _text(speed.where), _number(speed.mean, f"{speed.mean:.2f}"),
         _number(speed.cases, str(speed.cases)), _number(speed.fastest, str(speed.fastest))]
        for speed in speeds(run)
    ]  # fmt: skip
    headings = ("suite", "backend", "speed, geometric mean, x first", "cases", "fastest in")
    return _table(f"Speed by suite{run.name and f', {run.name}'}", headings, rows)


def result_table(runs: Sequence[Run]) -> str:
    """Every row of every run, with filters."""
    several = len(runs) > 1
    rows, attributes = [], []
    for run in runs:
        for same_case in groups(run.rows).values():
            for row in same_case:
                rows.append([*([_text(run.name)] if several else []), *_cells(row, ratio(row, same_case[0]))])
                attributes.append({"run": run.name, "suite": row.suite, "backend": row.where, "dtype": row.dtype})
    headings = (
        *(["run"] if several else []), "suite", "case", "shape", "dtype", "backend", "median", "&plusmn;",
        "speed, x first", "share of ceiling", "difference from float64", "first call", "compiling", "to device",
        "to host", "energy a call", "outliers",
    )  # fmt: skip
    table = _table("Every case", headings, rows, attributes)
    return f"<section><h2>Results</h2>{_filters(attributes)}{table}</section>"


def comparison_tables(comparison: Comparison) -> Iterable[str]:
    """The means and every pair, for each run beside the baseline."""
    headings = ("suite", "case", "backend", "baseline", "here", "speed", "low", "high", "verdict")
    for other in comparison.others:
        yield f"<section><h2>{escape(other.run.name)} beside {escape(comparison.base.name)}</h2>"
        means = [
            [_text(mean.suite), _text(mean.where), _number(mean.speed, f"{mean.speed:.2f}"),
             *_interval(mean.interval), _number(mean.cases, str(mean.cases))]
            for mean in other.means
        ]  # fmt: skip
        yield _table("Geometric means", ("suite", "backend", "speed", "low", "high", "cases"), means)
        rows, attributes = [], []
        for pair in other.pairs:
            base = pair.base
            attributes.append({"suite": base.suite, "backend": base.where, "verdict": pair.verdict})
            rows.append(
                [_text(base.suite), _text(base.title), _text(base.where), _seconds(base.median_s),
                 _seconds(pair.other.median_s), _number(pair.speed, f"{pair.speed:.2f}"),
                 *_interval(pair.interval), _text(pair.verdict)]
            )  # fmt: skip
        yield f"<div>{_filters(attributes)}{_table('Every case of both', headings, rows, attributes)}</div>"
        if other.refused:
            yield f"<details><summary>{len(other.refused)} cases are not compared</summary><ul>"
            yield from (f"<li>{escape(line)}</li>" for line in other.refused)
            yield "</ul></details>"
        yield "</section>"


def _cells(row: Row, times: float | None) -> list[Cell]:
    width = None
    if row.interval_s and row.median_s:
        width = (row.interval_s[1] - row.interval_s[0]) / 2 / row.median_s
    difference = _number(row.difference, f"{row.difference:.0e}") if row.difference is not None else _NONE
    return [
        _text(row.suite),
        _text(row.case),
        _text("x".join(map(str, row.shape))),
        _text(row.dtype),
        _text(row.where),
        ("failed", None) if row.error else _seconds(row.median_s),
        _share(width),
        _NONE if times is None else _number(times, f"{times:.2f}"),
        _share(row.share),
        (difference[0] + " wrong" * row.wrong, difference[1]),
        *map(_seconds, (row.first_s, row.compile_s, row.to_device_s, row.to_host_s)),
        ("unavailable", None) if row.energy_j is None else _number(row.energy_j, f"{row.energy_j:.3g} J"),
        _share(row.outliers),
    ]


_NONE: Cell = ("-", None)


def _text(text: str) -> Cell:
    return text, None


def _number(value: float | None, text: str) -> Cell:
    return text, value


def _seconds(seconds: float | None) -> Cell:
    return _NONE if seconds is None else (duration(seconds) if seconds else "0", seconds)


def _share(share: float | None) -> Cell:
    return _NONE if share is None else (f"{share:.0%}", share)


def _interval(interval: tuple[float, float] | None) -> list[Cell]:
    return [_NONE, _NONE] if interval is None else [_number(end, f"{end:.2f}") for end in interval]


def _table(
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    attributes: Sequence[dict[str, str]] | None = None,
) -> str:
    numbers = [any(cells[i][1] is not None for cells in rows) for i in range(len(headings))]
    head = "".join(
        f"<th scope=col{' class=number' * number}><button type=button>{heading}</button></th>"
        for heading, number in zip(headings, numbers, strict=True)
    )
    body = []
    for cells, marks in zip(rows, attributes or [{}] * len(rows), strict=True):
        written = "".join(f' data-{name}="{escape(value)}"' for name, value in marks.items())
        body.append(f"<tr{written}>{''.join(map(_cell, cells))}</tr>")
    # A region that scrolls has to be reached by the keyboard to be scrolled by it.
    return (
        f'<div class=scroll tabindex=0 role=region aria-label="{escape(caption)}"><table class=sortable>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
        f"</table></div>"
    )


def _cell(cell: Cell) -> str:
    text, value = cell
    marks = "" if value is None else f" class=number data-value={value!r}"
    return f"<td{marks}>{escape(text)}</td>"


def _filters(attributes: Sequence[dict[str, str]]) -> str:
    """A field for text, and a choice for each attribute that has several values."""
    fields = ['<label>case <input type=search class=filter placeholder="part of a name"></label>']
    for name in attributes[0] if attributes else ():
        values = list(dict.fromkeys(marks[name] for marks in attributes))
        if len(values) > 1:
            options = "".join(f"<option>{escape(value)}</option>" for value in values)
            fields.append(
                f"<label>{name} <select class=filter data-name={name}><option value=''>all</option>{options}"
                f"</select></label>"
            )
    return f"<form class=filters>{''.join(fields)}<output aria-live=polite></output></form>"
