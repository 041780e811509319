"""What every benchmark here does before and after it measures: choose, load the peers, say what is to know about
the machine, write the file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer

from triops.bench.machine import blas_hint, describe_machine, load_average
from triops.errors import BackendUnavailable

__all__ = [
    "check_json_file",
    "choose",
    "cores",
    "load_each",
    "machine_load",
    "warn_if_busy",
    "warn_of_slow_blas",
    "write_json",
]

_BUSY = 0.5  # processes a core

T = TypeVar("T")


def choose(kind: str, everything: Iterable[T], contains: Sequence[str]) -> list[T]:
    """Those that have one of the texts in their name. Raises typer.BadParameter where none has."""
    everything = list(everything)
    chosen = [each for each in everything if not contains or any(text in each.name for text in contains)]
    if not chosen:
        names = ", ".join(each.name for each in everything)
        raise typer.BadParameter(
            f"no {kind} has {' or '.join(contains)} in its name: {names}", param_hint="--filter"
        )
    return chosen


def check_json_file(json_file: Path | None) -> None:
    """Raises typer.BadParameter where the file could not be written at the end."""
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {json_file.parent}", param_hint="--json")


def load_each(loaders: Mapping[str, Callable[[], T]]) -> tuple[list[T], dict[str, str]]:
    """All that can be used here, and the reason for each other."""
    loaded, left_out = [], {}
    for name, load in loaders.items():
        try:
            loaded.append(load())
        except ImportError as error:
            left_out[name] = str(error)
        except BackendUnavailable as error:
            left_out[name] = error.message
    return loaded, left_out


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_load() -> float | None:
    """How many processes wanted to run in the last minute, None where the machine does not tell."""
    try:
        return load_average()
    except BackendUnavailable:
        return None


def warn_if_busy(load: float | None) -> None:
    """Say so where others had the cores before the run."""
    if load is not None and load > _BUSY * cores():
        typer.echo(
            f"the machine was busy before this run, load {load:.1f} on {cores()} cores: such times say little, "
            f"measure again when it is idle"
        )


def warn_of_slow_blas() -> None:
    """Say so where a setting keeps NumPy's BLAS from what the CPU can do."""
    try:
        hint = blas_hint(describe_machine())
    except BackendUnavailable:
        return
    if hint:
        typer.echo(hint)


def write_json(json_file: Path, found: Mapping[str, Any]) -> None:
    """Everything that was found, and the machine that it was found on."""
    try:
        machine = describe_machine()
    except BackendUnavailable:
        machine = None
    json_file.write_text(json.dumps(_finite({"machine": machine, "cores": cores(), **found}), indent=1) + "\n")


def _finite(value: Any) -> Any:
    """JSON knows no infinity, which is the difference of a result that cannot be compared."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
