"""How results and machines look in a terminal of 80 columns and more. ASCII only, since not every terminal and
log shows more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from triops.bench.machine import blas_hint
from triops.bench.results import Row, Run, Target
from triops.bench.summary import best_by_batch, crossings, groups, ratio, speeds, warnings

__all__ = ["duration", "plain_table", "print_info", "print_run", "short_machine"]

_NOTHING = "-"
_WRONG = "!"


def print_run(console: Console, run: Run) -> None:
    """A table for each suite, what follows from them, and what is to know about them."""
    console.print(short_machine(run.machine))
    for suite in dict.fromkeys(row.suite for row in run.rows):
        console.print()
        console.print(_suite_table(suite, run))
    console.print()
    if run.settings["model"]:
        for line in _advice(run):
            console.print(line)
    else:
        console.print(_speed_table(run))
    console.print()
    for note in _notes(run):
        console.print(note)


def plain_table(*headings: str, left: int = 2) -> Table:
    """Columns, and nothing drawn around them; the first `left` hold names, the others numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        if number < left:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    return table


def print_info(console: Console, info: dict[str, Any]) -> None:
    """What `collect_info` found, a line for each thing."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in _info_lines(info):
        table.add_row(name, value)
    console.print(table)


# -- results


def _suite_table(suite: str, run: Run) -> Table:
    table = plain_table(
        f"{suite},\n{', '.join(run.settings['dtypes'])}",
        "\nbackend",
        "first\ncall",
        "\nmedian",
        "\n+-",
        "speed,\nx first",
        "share of\nceiling",
        "differ-\nence",
    )
    several = len({target.device for target in run.targets}) > 1
    many_dtypes = len(run.settings["dtypes"]) > 1
    for rows in groups([row for row in run.rows if row.suite == suite]).values():
        for number, row in enumerate(rows):
            name = f"{row.case.rpartition(':')[2]} {'x'.join(map(str, row.shape))}"
            name += f" {row.dtype}" if many_dtypes else ""
            table.add_row(
                name if number == 0 else "",
                row.where if several else row.backend,
                *_cells(row, ratio(row, rows[0])),
            )
    return table


def _cells(row: Row, times: float | None) -> list[str]:
    if row.error:
        return [_duration_or_nothing(row.first_s), "failed", *[_NOTHING] * 4]
    width = None
    if row.interval_s and row.median_s:
        width = (row.interval_s[1] - row.interval_s[0]) / 2 / row.median_s
    return [
        _duration_or_nothing(row.first_s),
        _duration_or_nothing(row.median_s),
        _NOTHING if width is None else f"{width:.0%}",
        _NOTHING if times is None else f"{times:.2f}",
        _NOTHING if row.share is None else f"{row.share:.0%}",
        (_NOTHING if row.difference is None else f"{row.difference:.0e}") + _WRONG * row.wrong,
    ]


def duration(seconds: float) -> str:
    """Three digits and the unit: `1.25 ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if seconds >= 0.9995 * size or unit == "ns":
            value = seconds / size
            digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f} {unit}"
    raise AssertionError


def _duration_or_nothing(seconds: float | None) -> str:
    return _NOTHING if seconds is None else duration(seconds)


def _speed_table(run: Run) -> Table:
    table = plain_table("geometric mean", "backend", "speed, x first", "cases", "fastest in")
    for speed in speeds(run):
        table.add_row(speed.suite, speed.where, f"{speed.mean:.2f}", str(speed.cases), str(speed.fastest))
    return table


def _advice(run: Run) -> Iterable[str]:
    for suite, sizes in best_by_batch(run).items():
        for size, best in sizes:
            names = " or ".join(row.where for row in best) or "none: all failed"
            same = ", no difference" if len(best) > 1 else ""
            yield f"{suite}, batch of {size}: {names}{same}"
    found = crossings(run)
    for crossing in found:
        where = f"from about {crossing.size:.0f} on"
        yield f"{crossing.suite}: {where} {crossing.faster} is faster than {crossing.slower}"
    if not found and len(run.targets) > 1:
        yield "no backend overtakes another between these batch sizes"


def _notes(run: Run) -> Iterable[str]:
    settings = run.settings
    yield (
        f"first call: with all that is compiled for it; median: of {settings['turns']} turns in "
        f"{settings['processes']} process{'es' * (settings['processes'] > 1)}, each the mean of its calls once "
        f"these are steady; +-: half the interval that holds the median with {settings['confidence']:.0%}; "
        f"x first: times the speed of the first backend; difference: from the formula in float64, "
        f"{_WRONG} where that is too far"
    )
    for row in run.rows:
        if row.found:
            found = ", ".join(f"{name} {value:.1%}" for name, value in row.found.items())
            per_s = (
                f"{row.samples / row.median_s:,.0f} samples a second, " if row.samples and row.median_s else ""
            )
            difference = "-" if row.difference is None else f"{row.difference:.1e}"
            yield f"{row.case} on {row.where}: {per_s}{found}, largest difference of a weight {difference}"
    if run.ahead.kernels:
        yield (
            f"{run.ahead.kernels} kernels were not on disk: they were compiled before, in "
            f"{run.ahead.seconds:.0f} s, which are in no time here, and stay there"
        )
    for target in run.targets:
        if target.ceilings is not None:
            yield f"{target.where}: {_ceilings(target)}"
    energy = {target.device: target.energy for target in run.targets if target.energy.startswith("unavailable")}
    for device, reason in energy.items():
        yield f"energy of {device}: {reason}"
    for row in run.rows:
        if row.error:
            yield f"{row.case} failed on {row.where}: {row.error}"
        elif row.wrong:
            yield f"{row.case} is wrong on {row.where}: off by {row.difference}, {row.tolerance:.0e} is right"
    if run.interrupted:
        done = sum(len(row.turns) for row in run.rows)
        yield f"stopped by hand after {done} of {run.settings['turns'] * len(run.rows)} turns"
    yield from warnings(run)
    for name, reason in run.left_out.items():
        yield f"{name} is not in the table: {reason}"


def _ceilings(target: Target) -> str:
    ceilings = target.ceilings
    assert ceilings is not None
    copies = ", ".join(f"{_bytes(size)} {rate / 1e9:.0f}" for size, rate in ceilings.copy_bytes_s.items())
    products = ", ".join(f"{dtype} {rate / 1e9:.0f}" for dtype, rate in ceilings.gemm_flops_s.items())
    return (
        f"copies GB/s by size: {copies}; matrix products GFLOP/s: {products}; the shortest call "
        f"{duration(ceilings.dispatch_s)}"
    )


def _bytes(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size // 2**10} KiB"


def short_machine(machine: dict[str, Any]) -> str:
    """One line: CPU, GPUs, NumPy's BLAS."""
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
        if cpu["caches"]:
            yield "caches", ", ".join(map(_cache, cpu["caches"]))
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


def _cache(cache: dict[str, Any]) -> str:
    kind = "" if cache["type"] == "unified" else f" {cache['type']}"
    return f"L{cache['level']}{kind} {_bytes(cache['bytes'])}"


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
        read_only = "" if kernels["cache_is_writable"] else ", which is read-only"
        kept = f"kept in {kernels['cache']}{read_only}" if kernels["cache"] else "not kept: no folder is writable"
        return f"compiled by Numba {installed}, {threads} thread{'s' * (threads != 1)}; {kept}"
    numba = f"Numba {installed} is installed and not used" if installed else "Numba is not installed"
    return f"none compiled: formulas over NumPy ({numba})"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
