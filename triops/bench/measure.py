"""One case on one backend, in the worker's process: its first call, whether it is right, and then its turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from time import perf_counter
from typing import Any

from triops.backends.backend import Backend
from triops.backends.compiling import compile_seconds
from triops.bench.cases.case import Case, Shape, Work
from triops.bench.energy import energy_meter
from triops.bench.stats import count_outliers
from triops.bench.timing import Pace, Turn, spread, take_turn
from triops.models.trees import leaves
from triops.ops import Ops
from triops.ops.base import is_float

__all__ = ["listed", "measure_turn", "waiting"]

_REPEATED = 3
_COUNTED = 50_000


def measure_turn(case: Case, ops: Ops, dtype: str, shape: Shape, pace: Pace, *, first: bool) -> dict[str, Any]:
    """A turn's samples, in seconds a call; with `first`, what is measured and checked once in a process, too."""
    work = case.start(ops, dtype, shape)
    once = waiting(ops, work.call)
    found = _first_call(ops, work, dtype, once) if first else {}
    meter, _ = energy_meter(ops.backend.device.kind, ops.backend.device.index)
    calls = 0

    def sample(count: int) -> float:
        nonlocal calls
        if work.renew is not None:
            work.renew()
        start = perf_counter()
        for _ in range(count):
            once()
        seconds = perf_counter() - start
        calls += count
        return seconds / count

    pulse_s = _pulse()
    joules = meter() if meter else 0.0
    turn = take_turn(sample, pace, singly=work.renew is not None)
    found["turn"] = _summary(turn) | {"pulse_s": (pulse_s + _pulse()) / 2}
    if meter:
        found["energy_j"] = (meter() - joules) / calls
    return found


def _summary(turn: Turn) -> dict[str, Any]:
    """What is kept of a turn: its samples by themselves say no more, and are thousands."""
    seconds = spread(turn.seconds)
    assert seconds is not None
    return {
        "mean_s": fmean(turn.seconds),
        "median_s": seconds.median_s,
        "lower_quartile_s": seconds.lower_quartile_s,
        "upper_quartile_s": seconds.upper_quartile_s,
        "least_s": min(turn.seconds),
        "samples": seconds.count,
        "calls": turn.calls,
        "outliers": count_outliers(turn.seconds),
        "steady": turn.steady,
    }


def _first_call(ops: Ops, work: Work, dtype: str, once: Callable[[], Any]) -> dict[str, Any]:
    """The first call, with what is compiled in it; the copies there and back; and the check against float64."""
    compiled, start = compile_seconds(), perf_counter()
    once()
    first_s = perf_counter() - start
    compile_s = compile_seconds() - compiled
    if work.renew is not None:
        work.renew()
    result = listed(work.call())
    ops.synchronize(*result)
    to_host_s = _least(lambda: [ops.to_numpy(array).copy() for array in result])
    outputs = work.outputs()
    difference = work.compare(outputs, work.references())
    return {
        "first_s": first_s,
        "compile_s": None if ops.name == "cupy" else compile_s,
        "to_device_s": _least(lambda: ops.synchronize(*_placed(ops, work.inputs, dtype))),
        "to_host_s": to_host_s,
        "difference": difference if difference < float("inf") else None,
        "bytes_moved": work.bytes_moved(outputs),
        "flops": work.flops,
        "samples": work.samples,
        "found": work.found,
    }


def waiting(ops: Ops, call: Callable[[], Any]) -> Callable[[], Any]:
    """A call that returns when its result is there. A backend that is always in step has nothing to wait for, and
    its shortest calls take less than to ask."""
    if type(ops.backend).synchronize is Backend.synchronize:
        return call
    return lambda: ops.synchronize(*listed(call()))


def listed(result: Any) -> list[Any]:
    """The arrays in what a case's call returns."""
    return [array for array in leaves(result) if hasattr(array, "shape")]


def _placed(ops: Ops, inputs: Sequence[Any], dtype: str) -> list[Any]:
    # A copy, since a backend on the host would only borrow it.
    return [ops.asarray(array.copy(), dtype if is_float(array.dtype) else array.dtype) for array in inputs]


def _pulse() -> float:
    """The least seconds of a piece of Python that is always the same."""
    return _least(lambda: sum(range(_COUNTED)))


def _least(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATED):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)
