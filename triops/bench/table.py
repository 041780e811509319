"""How results and machines look in a terminal of 80 columns and more. ASCII only, since not every terminal and
log shows more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from triops.bench.machine import blas_hint
from triops.bench.results import Results, Row

__all__ = ["print_info", "print_results"]

_NOTHING = "-"
_UNSTEADY = 1.3  # upper over lower quartile
_BUSY = 0.5  # processes a core


def print_results(console: Console, results: Results) -> None:
    """One table, a row for each backend and device, and what is to know about it."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("backend", "device"):
        table.add_column(f"\n{heading}", no_wrap=True)
    for heading in (
        "first\nstep, ms",
        "median\nstep, ms",
        "samples\na second",
        "speed,\nx NumPy",
        "held-out\naccuracy",
        "largest\ndifference",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in results.rows:
        table.add_row(*_cells(row))
    console.print(results.title)
    console.print(_short_machine(results.machine))
    console.print()
    console.print(table)
    console.print()
    for note in _notes(results):
        console.print(note)


def print_info(console: Console, info: dict[str, Any]) -> None:
    """What `collect_info` found, a line for each thing."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in _info_lines(info):
        table.add_row(name, value)
    console.print(table)


# -- results


def _cells(row: Row) -> list[str]:
    step_s = row.step_s.median_s if row.step_s else None
    return [
        row.backend,
        row.device,
        _milliseconds(row.first_step_s),
        _milliseconds(step_s),
        _NOTHING if row.samples_per_s is None else f"{row.samples_per_s:,.0f}",
        _NOTHING if row.speed is None else f"{row.speed:.2f}",
        "failed" if row.error else _NOTHING if row.accuracy is None else f"{row.accuracy:.1%}",
        _NOTHING if row.difference is None else f"{row.difference:.1e}",
    ]


def _milliseconds(seconds: float | None) -> str:
    """At least three digits, and no more than three after the point."""
    if seconds is None:
        return _NOTHING
    ms = 1e3 * seconds
    return f"{ms:.{3 if ms < 1 else 2 if ms < 10 else 1 if ms < 100 else 0}f}"


def _notes(results: Results) -> Iterable[str]:
    yield (
        "first step: with all that it compiles; median step: forward, loss, backward and update, once they are "
        "steady; largest difference: of any weight from the same training in float64 NumPy, after "
        f"{results.compared_steps} steps"
    )
    for row in results.rows:
        where = f"{row.backend} {row.device}"
        if row.error:
            yield f"{where} failed after {row.steps} steps: {row.error}"
        elif row.steps < results.steps:
            yield f"{where} was stopped after {row.steps} of {results.steps} steps"
        elif row.step_s and row.step_s.upper_quartile_s > _UNSTEADY * row.step_s.lower_quartile_s:
            yield (
                f"{where} was unsteady: the middle half of its steps took "
                f"{_milliseconds(row.step_s.lower_quartile_s)} to {_milliseconds(row.step_s.upper_quartile_s)} ms"
            )
    cores = results.machine["cpu"]["logical_cores"]
    if results.load_average > _BUSY * cores:
        yield (
            f"the machine was busy before this run, load {results.load_average:.1f} on {cores} cores: such times "
            f"say little, measure again when it is idle"
        )
    for name, reason in results.left_out.items():
        yield f"{name} is not in the table: {reason}"


def _short_machine(machine: dict[str, Any]) -> str:
    parts = [f"{machine['cpu']['model']}, {_cores(machine['cpu'])}"]
    parts += [gpu["name"] for gpu in machine["gpus"] or ()]
    pools = [pool for pool in machine["threads"]["pools"] if pool["user_api"] == "blas"]
    parts += [_pool(pool) for pool in pools if pool["package"] in ("numpy", None)]
    return "; ".join(parts)


# -- the machine


def _info_lines(info: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "triops", info["triops"]
    yield "Python", info["python"]
    machine = info["machine"]
    if info["machine_reason"]:
        yield "machine", info["machine_reason"]
    else:
        cpu, memory, system = machine["cpu"], machine["memory"], machine["os"]
        yield "CPU", f"{cpu['model']} ({cpu['architecture']}), {_cores(cpu)}"
        yield "instructions", " ".join(cpu["instruction_sets"]) or "none of note"
        limit = memory["cgroup_bytes"]
        yield (
            "memory",
            _gib(memory["total_bytes"]) + (f", limited to {_gib(limit)} by the control group" if limit else ""),
        )
        yield "system", f"{system['distribution']}, {system['system']} {system['release']}"
    yield "GPU", _gpus(machine["gpus"], info["backends"])
    settings = machine["threads"]["settings"]
    yield "threads", ", ".join(f"{key}={value}" for key, value in settings.items()) or "no setting is made"
    for pool in machine["threads"]["pools"]:
        yield "", _pool(pool)
    if "cpu" in machine and (hint := blas_hint(machine)):
        yield "", hint
    for name, status in info["backends"].items():
        yield name, _backend(status)
    yield "CPU kernels", _kernels(info["compiled_cpu_kernels"])
    chosen = f"TRIOPS_BACKEND={info['TRIOPS_BACKEND']}" if info["TRIOPS_BACKEND"] else "TRIOPS_BACKEND is not set"
    current = info["current"]
    yield (
        "current ops",
        f"{current['backend']} on {current['device']} ({chosen})" if current else info["current_reason"],
    )


def _cores(cpu: dict[str, Any]) -> str:
    logical, physical, usable = cpu["logical_cores"], cpu["physical_cores"], cpu["usable_cores"]
    text = (
        f"{physical or 'unknown'} cores" if physical == logical else f"{physical or '?'} cores, {logical} threads"
    )
    if usable is not None and usable != logical:
        text += f", {usable} usable by this process"
    if cpu["cgroup_cpus"] is not None:
        text += f", limited to {cpu['cgroup_cpus']:g} by the control group"
    return text


def _gpus(gpus: list[dict[str, Any]] | None, backends: dict[str, Any]) -> str:
    if gpus:
        return "; ".join(
            ", ".join([gpu["name"], *([_gib(gpu["memory_bytes"])] if gpu["memory_bytes"] else [])])
            + f", driver {gpu['driver']}"
            for gpu in gpus
        )
    shown = [
        f"{device} ({name})"
        for name, status in backends.items()
        for device in status["devices"]
        if not device.startswith("cpu:")
    ]
    hint = "; nvidia-ml-py is not installed, which would tell more" if gpus is None else ""
    return (", ".join(shown) or "none found") + hint


def _pool(pool: dict[str, Any]) -> str:
    name = pool["internal_api"] or pool["user_api"] or "unknown"
    version = f" {pool['version']}" if pool.get("version") else ""
    origin = f" of {pool['package']}" if pool["package"] else ""
    details = [pool[key] for key in ("architecture", "threading_layer") if pool.get(key)]
    details.append(f"{pool['num_threads']} thread{'s' * (pool['num_threads'] != 1)}")
    return f"{name}{version}{origin} ({', '.join(details)})"


def _backend(status: dict[str, Any]) -> str:
    if not status["available"]:
        return f"not available: {status['reason']}"
    versions = ", ".join(f"{name} {version}" for name, version in status["versions"].items())
    return f"{', '.join(status['devices'])}; {versions}"


def _kernels(kernels: dict[str, Any]) -> str:
    installed = kernels["numba_installed"]
    if kernels["used"]:
        threads = kernels["threads"]
        products = "" if kernels["products"] else ", products on NumPy's: scipy-openblas64 is not installed"
        read_only = "" if kernels["cache_is_writable"] else ", which is read-only"
        kept = f"kept in {kernels['cache']}{read_only}" if kernels["cache"] else "not kept: no folder is writable"
        return f"compiled by Numba {installed}, {threads} thread{'s' * (threads != 1)}{products}; {kept}"
    numba = f"Numba {installed} is installed and not used" if installed else "Numba is not installed"
    return f"none compiled: formulas over NumPy ({numba})"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
