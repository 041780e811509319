"""Where the time of a compiled step on JAX goes, by XLA's own record of what it ran when."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import jax

from benchmarks.tagger.parts import ARITHMETIC, PART_OF, PRODUCTS, WAITS, Profile
from benchmarks.tagger.text import Batch
from benchmarks.tagger.training import Training

__all__ = ["profile_jax"]

_OP_NAMES = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*?op_name="([^"]*)"', re.MULTILINE)
_JITTED = re.compile(r"jit\((\w+)\)")  # the step itself has no name
_LIST_KERNELS = "call"  # what one program for all arrays is called: only updates are such


def profile_jax(classes: int, batch: Batch, rounds: int, steps: int) -> Profile:
    """A loop that XLA made of several ops counts for the one whose result it is. Where two run at once, on two
    threads, each has half of that time."""
    training = Training("jax", classes)
    training.train([batch] * 5)
    names = dict(_OP_NAMES.findall(_program(training).as_text()))
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    parts: Counter[str] = Counter()
    whole_s = alone_s = 0.0
    for _ in range(rounds):
        alone_s += _mean(training, batch, steps) / rounds
        with TemporaryDirectory() as folder:
            with jax.profiler.trace(folder, profiler_options=options):
                whole_s += _mean(training, batch, steps) / rounds
            (file,) = Path(folder).rglob("*.xplane.pb")
            data = jax.profiler.ProfileData.from_file(str(file))
        seconds = _by_instruction(data)
        for instruction, total in seconds.items():
            parts[_part(names.get(instruction, ""))] += total / steps / rounds
        parts[WAITS] += (_in_programs(data) - sum(seconds.values())) / steps / rounds
    return Profile(dict(parts), whole_s, alone_s, "no program runs: Python, copies, handing over")


def _mean(training: Training, batch: Batch, steps: int) -> float:
    start = perf_counter()
    for _ in range(steps):
        float(training.step(batch))
    return (perf_counter() - start) / steps


def _program(training: Training) -> Any:
    """The step's, as XLA compiled it."""
    assert training.compiled is not None
    (made,) = training.compiled._programs._made.values()
    return made.program._compiled


def _part(op_name: str) -> str:
    if op_name.endswith("dot_general"):
        return PRODUCTS
    (name, *_) = [*_JITTED.findall(op_name), ""]
    return PART_OF["adam"] if name == _LIST_KERNELS else PART_OF.get(name, ARITHMETIC)


def _by_instruction(data: Any) -> dict[str, float]:
    """The seconds in which each instruction ran, shared with those that ran at the same time."""
    running: dict[str, list[str]] = defaultdict(list)  # on each thread, the innermost last
    seconds: Counter[str] = Counter()
    last = 0.0
    for at, thread, instruction, begins in sorted(_changes(data), key=lambda change: (change[0], change[3])):
        now = [inside[-1] for inside in running.values() if inside]
        for each in now:
            seconds[each] += (at - last) / len(now)
        last = at
        if begins:
            running[thread].append(instruction)
        else:
            running[thread].remove(instruction)
    return seconds


def _in_programs(data: Any) -> float:
    """The seconds from the first instruction of each run of a program to its last one."""
    begins: dict[Any, float] = {}
    ends: dict[Any, float] = {}
    for event, _, details in _instructions(data):
        run = details["run_id"]
        begins[run] = min(begins.get(run, event.start_ns), event.start_ns)
        ends[run] = max(ends.get(run, 0), event.start_ns + event.duration_ns)
    return sum(ends[run] - begin for run, begin in begins.items()) / 1e9


def _changes(data: Any) -> Iterator[tuple[float, str, str, bool]]:
    """When, on which thread, which instruction began or ended."""
    for event, thread, details in _instructions(data):
        yield event.start_ns / 1e9, thread, details["hlo_op"], True
        yield (event.start_ns + event.duration_ns) / 1e9, thread, details["hlo_op"], False


def _instructions(data: Any) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    for plane in data.planes:
        for line in plane.lines:
            for event in line.events:
                details = dict(event.stats)
                if "hlo_op" in details:
                    yield event, line.name, details
