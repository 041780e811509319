"""What a run measured, and its form as JSON, which `run.schema.json` beside this file describes. Times are in
seconds; what could not be measured is None."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

from triops.bench.ceilings import Ceilings
from triops.bench.extras import load_extra
from triops.bench.stats import median_interval
from triops.errors import ArgumentError, LoadError

__all__ = [
    "FORMAT",
    "Ahead",
    "Row",
    "Run",
    "Target",
    "TurnTimes",
    "from_json",
    "read_run",
    "run_schema",
    "to_json",
]

FORMAT = 3


@dataclass(frozen=True)
class TurnTimes:
    """One turn of a case: the mean, the quartiles and the least of its samples, each the mean of `calls` calls;
    how many of them were outliers; whether it was steady before they were taken; what the same piece of Python
    took at that time, by which a CPU that slows down is known; and in which fresh process it was, from 0."""

    mean_s: float
    median_s: float
    lower_quartile_s: float
    upper_quartile_s: float
    least_s: float
    samples: int
    calls: int
    outliers: int
    steady: bool
    pulse_s: float
    process: int


@dataclass(frozen=True)
class Row:
    """One case at one shape and dtype on one backend and device.

    turns: what was timed; first_s: the first call of a process, of which compile_s went into compiling;
    to_device_s, to_host_s: to copy the inputs there, and the result back. difference: from the float64 formula,
    in the measure of the case, of which up to `tolerance` is right; None where the result is no number. samples:
    how many rows a call goes through. ceiling_s: the least time that the device's ceilings allow. energy_j: of a
    call. found: what else the case tells, such as an accuracy. error: why there is no time, or None.
    """

    suite: str
    case: str
    version: int
    size: str
    shape: tuple[int, ...]
    dtype: str
    backend: str
    device: str
    tolerance: float
    turns: tuple[TurnTimes, ...] = ()
    first_s: float | None = None
    compile_s: float | None = None
    to_device_s: float | None = None
    to_host_s: float | None = None
    difference: float | None = None
    samples: int | None = None
    bytes_moved: int | None = None
    flops: float | None = None
    ceiling_s: float | None = None
    energy_j: float | None = None
    found: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    @property
    def where(self) -> str:
        """The backend and its device."""
        return f"{self.backend} {self.device}"

    @property
    def title(self) -> str:
        """The case, its shape and its dtype."""
        return f"{self.case} {'x'.join(map(str, self.shape))} {self.dtype}"

    @property
    def times(self) -> list[float]:
        """Each turn's time of a call: the mean, which is what many calls take together."""
        return [turn.mean_s for turn in self.turns]

    @property
    def paced(self) -> list[float]:
        """Each turn's time beside that of the same piece of Python, without unit."""
        return [turn.mean_s / turn.pulse_s for turn in self.turns]

    @property
    def median_s(self) -> float | None:
        """The median of the turns' times."""
        return median(self.times) if self.turns else None

    @property
    def interval_s(self) -> tuple[float, float] | None:
        """What lies around the median, with the confidence of `triops.bench.stats`."""
        return median_interval(self.times)

    @property
    def share(self) -> float | None:
        """The share of the device's ceiling that is reached, 1 for all of it."""
        return self.ceiling_s / self.median_s if self.ceiling_s and self.median_s else None

    @property
    def outliers(self) -> float:
        """The share of the samples that were outliers."""
        return sum(turn.outliers for turn in self.turns) / (sum(turn.samples for turn in self.turns) or 1)

    @property
    def wrong(self) -> bool:
        """Whether it was checked, and is not right."""
        return bool(self.turns) and not (self.difference is not None and self.difference <= self.tolerance)


@dataclass(frozen=True)
class Target:
    """A backend on a device: its versions, the seconds that it took to load, how its energy is read, what its
    device can do at most; error: why it could not even be loaded, or None."""

    backend: str
    device: str
    versions: dict[str, str] = field(default_factory=dict)
    load_s: float | None = None
    energy: str = "unavailable"
    ceilings: Ceilings | None = None
    error: str | None = None

    @property
    def where(self) -> str:
        """The backend and its device."""
        return f"{self.backend} {self.device}"


@dataclass(frozen=True)
class Ahead:
    """What was compiled before the clock started, and stays on disk: so many kernels, in so many seconds."""

    kernels: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Run:
    """Everything that one `triops bench run` measured.

    started: the time in UTC; ahead: what was compiled before; seconds: how long it took from then on;
    interrupted: whether it was stopped by hand. settings: what was chosen. software: versions of triops and
    Python. machine: as `describe_machine` says. load_average: how many processes wanted a core in the minute
    before. stolen: the share of the CPUs' time that the machine under a virtual one gave to others, None where it
    does not tell; others: the share that other programs on this machine had. left_out: each backend that cannot
    be used here, with the reason.
    """

    started: str
    ahead: Ahead
    seconds: float
    interrupted: bool
    settings: dict[str, Any]
    software: dict[str, str]
    machine: dict[str, Any]
    load_average: float
    stolen: float | None
    others: float | None
    left_out: dict[str, str]
    targets: tuple[Target, ...]
    rows: tuple[Row, ...]
    name: str = ""  # that of the file it was read from, which is not written in it

    @property
    def pulses_s(self) -> list[float]:
        """What the same piece of Python took in each round of turns."""
        rounds = zip_longest(*(row.turns for row in self.rows))
        return [median(turn.pulse_s for turn in turns if turn is not None) for turns in rounds]


def to_json(run: Run) -> str:
    """A run as JSON, with the number of this format. Each row has what follows from its turns in it, as
    `summary`, for readers other than triops."""
    content = {"format": FORMAT, **asdict(run)}
    del content["name"]
    for written, row in zip(content["rows"], run.rows, strict=True):
        low, high = row.interval_s or (None, None)
        written["summary"] = {
            "median_s": row.median_s,
            "low_s": low,
            "high_s": high,
            "share_of_ceiling": row.share,
            "outliers": row.outliers,
            "wrong": row.wrong,
        }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> Run:
    """A run that `to_json` wrote. Raises LoadError where it is something else, damaged, or of another format."""
    try:
        content = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"not a benchmark's results: this is no JSON ({error})") from error
    if not isinstance(content, dict) or "format" not in content:
        raise LoadError("not a benchmark's results: write them with `triops bench run --output FILE`")
    written = content.pop("format")
    if written != FORMAT:
        raise LoadError(
            f"the results have format {written!r}, this triops reads {FORMAT}: read them with the version that "
            f"wrote them, or measure again"
        )
    _validate(content)
    rows = tuple(_row(row) for row in content.pop("rows"))
    targets = tuple(_target(target) for target in content.pop("targets"))
    return Run(rows=rows, targets=targets, ahead=Ahead(**content.pop("ahead")), **content)


def read_run(path: Path) -> Run:
    """The run in a file, which gives it its name. Raises ArgumentError where it cannot be read, else as
    `from_json`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LoadError(f"{path}: not a benchmark's results: this is no text") from error
    try:
        return replace(from_json(text), name=path.stem)
    except LoadError as error:
        raise LoadError(f"{path}: {error.message}") from error


@cache
def run_schema() -> dict[str, Any]:
    """The JSON schema of a run's file."""
    schema: dict[str, Any] = json.loads(files("triops.bench").joinpath("run.schema.json").read_text("utf-8"))
    return schema


def _no_number(name: str) -> None:
    raise ValueError(f"it has {name}")


def _validate(content: dict[str, Any]) -> None:
    jsonschema = load_extra("jsonschema", "jsonschema")
    validator = jsonschema.Draft202012Validator(run_schema())
    found = jsonschema.exceptions.best_match(validator.iter_errors({"format": FORMAT, **content}))
    if found is not None:
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in found.absolute_path)
        raise LoadError(
            f"the benchmark's results are damaged: {found.message[:200]}{place and f' in {place[1:]}'}; "
            f"run it again"
        )


def _row(content: dict[str, Any]) -> Row:
    del content["summary"]
    turns = tuple(TurnTimes(**turn) for turn in content.pop("turns"))
    return Row(turns=turns, shape=tuple(content.pop("shape")), **content)


def _target(content: dict[str, Any]) -> Target:
    ceilings = content.pop("ceilings")
    if ceilings is not None:
        by_size = {int(size): rate for size, rate in ceilings.pop("copy_bytes_s").items()}
        ceilings = Ceilings(copy_bytes_s=by_size, **ceilings)
    return Target(ceilings=ceilings, **content)
