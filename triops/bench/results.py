"""What a run measured, and its form as JSON. Times are in seconds; what could not be measured is None."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from triops.bench.timing import Spread
from triops.errors import LoadError

__all__ = ["FORMAT", "Results", "Row", "from_json", "to_json"]

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """One backend on one device.

    steps: how many were trained. first_step_s: the first of them, with all that is compiled in it. step_s: the
    spread of the steady ones. speed: NumPy's median time a step in this run over this one's. accuracy: on
    held-out samples, from 0 to 1. difference: the largest absolute difference of any weight from those of the
    same training in float64 NumPy, after `compared_steps` steps. error: why it ended early, or None.
    """

    backend: str
    device: str
    versions: dict[str, str]
    steps: int
    first_step_s: float | None = None
    step_s: Spread | None = None
    samples_per_s: float | None = None
    speed: float | None = None
    accuracy: float | None = None
    difference: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Results:
    """A run of one case.

    case: its name. title: one line that says what was trained. settings: what was chosen. steps: how many each
    row was to train. compared_steps: after how many the weights were compared. started: the time in UTC.
    load_average: how many processes wanted a core in the minute before. interrupted: whether it was stopped by
    hand. software: versions of triops and Python. machine: as `describe_machine` says. left_out: each backend
    that cannot be used here, with the reason.
    """

    case: str
    title: str
    settings: dict[str, Any]
    steps: int
    compared_steps: int
    started: str
    load_average: float
    interrupted: bool
    software: dict[str, str]
    machine: dict[str, Any]
    left_out: dict[str, str]
    rows: tuple[Row, ...]


def to_json(results: Results) -> str:
    """A run as JSON, with the number of this format."""
    return json.dumps({"format": FORMAT, **asdict(results)}, indent=2, allow_nan=False) + "\n"


def from_json(text: str) -> Results:
    """A run that `to_json` wrote. Raises LoadError where it is something else, damaged, or of another format."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise LoadError(f"not a benchmark's results: this is no JSON ({error})") from error
    if not isinstance(content, dict) or "format" not in content:
        raise LoadError("not a benchmark's results: write them with `triops bench run --output FILE`")
    written = content.pop("format")
    if written != FORMAT:
        raise LoadError(
            f"the results have format {written!r}, this triops reads {FORMAT}: read them with the version that "
            f"wrote them"
        )
    try:
        rows = tuple(_row(row) for row in content.pop("rows"))
        return Results(rows=rows, **content)
    except (TypeError, KeyError, AttributeError) as error:
        raise LoadError(f"the benchmark's results are damaged ({error}): run it again") from error


def _row(content: dict[str, Any]) -> Row:
    step_s = content.pop("step_s")
    return Row(step_s=None if step_s is None else Spread(**step_s), **content)
