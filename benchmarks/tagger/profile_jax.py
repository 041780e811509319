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

from benchmarks.tagger.parts import ARITHMETIC, HOST, PART_OF, PRODUCTS, Profile
from benchmarks.tagger.text import Batch
from benchmarks.tagger.training import Training

__all__ = ["profile_jax"]

_OP_NAMES = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*?op_name="([^"]*)"', re.MULTILINE)
_JITTED = re.compile(r"jit\((\w+)\)")  # the step itself has no name
_LIST_KERNELS = "call"  # what one program for all arrays is called: only updates are such


def profile_jax(classes: int, batch: Batch, steps: int) -> Profile:
    """A loop that XLA made of several ops counts for the one whose result it is. Where two run at once, on two
    threads, each has half of that time. The host's part is what is left of a step."""
    training = Training("jax", classes)
    training.train([batch] * 5)
    alone_s = _mean(training, batch, steps)
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            whole_s = _mean(training, batch, steps)
        (file,) = Path(folder).rglob("*.xplane.pb")
        seconds = _by_instruction(jax.profiler.ProfileData.from_file(str(file)))
    names = dict(_OP_NAMES.findall(_program(training).as_text()))
    parts: Counter[str] = Counter()
    for instruction, total in seconds.items():
        parts[_part(names.get(instruction, ""))] += total / steps
    parts[HOST] = whole_s - sum(parts.values())
    return Profile(dict(parts), whole_s, alone_s)


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


def _changes(data: Any) -> Iterator[tuple[float, str, str, bool]]:
    """When, on which thread, which instruction began or ended."""
    for plane in data.planes:
        for line in plane.lines:
            for event in line.events:
                instruction = dict(event.stats).get("hlo_op")
                if instruction is not None:
                    yield event.start_ns / 1e9, line.name, instruction, True
                    yield (event.start_ns + event.duration_ns) / 1e9, line.name, instruction, False
