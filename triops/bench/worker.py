"""The process that measures one backend on one device, and nothing else. It is told what to do in lines of JSON
on stdin, and answers each with a line on stdout; `triops.bench.process` is the other end.

Nothing is imported here, before the cores are chosen, that loads a library with threads of its own."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

__all__ = ["Worker", "main", "one_line"]

_CALLS_TO_COMPILE = 2  # a kernel's loop comes first, and then the threads around it


def main() -> None:
    """Answer until stdin ends."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(worker.answer(order)), file=answers, flush=True)


class Worker:
    """What it has loaded and started so far. Each order is a method, its arguments the rest of the line."""

    def __init__(self) -> None:
        self._ops: Any = None
        self._case: Callable[[str, str], Any] | None = None

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """An order's result, or `{"error": ...}`: whatever a framework raises, the next order may work."""
        try:
            result: dict[str, Any] = getattr(self, order.pop("do"))(**order)
            return result
        except MemoryError:
            return {"error": "MemoryError: there is not enough memory for it"}
        except Exception as error:
            return {"error": one_line(error)}

    def look(self, backends: list[str], devices: list[str], host_name: bool) -> dict[str, Any]:
        """Which backends and devices there are to measure, which are left out, and why; and the machine."""
        from triops.bench.choose import choose_ops
        from triops.bench.machine import describe_machine
        from triops.errors import TriopsError

        try:
            everyone, left_out = choose_ops(backends, devices)
            machine = describe_machine(host_name=host_name)
        except TriopsError as error:
            return {"refused": error.message}
        return {
            "targets": [
                {"backend": ops.name, "device": ops.device, "versions": ops.backend.versions()}
                for ops in everyone
            ],
            "left_out": left_out,
            "machine": machine,
        }

    def load(self, backend: str, device: str, model: str | None) -> dict[str, Any]:
        """Load the backend, and say what was loaded in how many seconds."""
        started = time.perf_counter()
        from triops.backends.compiling import compile_seconds
        from triops.ops import get_ops

        self._ops = ops = get_ops(backend, device)
        load_s = time.perf_counter() - started
        compile_seconds()  # from now on
        if model is None:
            from triops.bench.cases import find_case

            self._case = find_case
        else:
            from triops.bench.cases.own import own_case

            self._case = own_case(model)
        from triops.bench.energy import energy_meter

        _, energy = energy_meter(ops.backend.device.kind, ops.backend.device.index)
        return {"versions": ops.backend.versions(), "load_s": load_s, "energy": energy}

    def ceilings(self, dtypes: list[str], quick: bool) -> dict[str, Any]:
        """What the device can do at most, as this backend uses it."""
        from triops.bench.ceilings import measure_ceilings

        return asdict(measure_ceilings(self._ops, dtypes, quick))

    def compile(self, suite: str, name: str, shape: list[int], dtype: str) -> dict[str, Any]:
        """Call a case until all is compiled that it needs, and say how many kernels were not on disk."""
        from triops.backends.compiling import compile_direct, kernels_compiled
        from triops.bench.measure import listed

        assert self._case is not None
        _set_aside()
        before = kernels_compiled()
        work = self._case(suite, name).start(self._ops, dtype, tuple(shape))
        for _ in range(_CALLS_TO_COMPILE):
            if work.renew is not None:
                work.renew()
            self._ops.synchronize(*listed(work.call()))
        work.outputs()
        if suite == "ops":
            compile_direct(name)
        return {"compiled": kernels_compiled() - before}

    def turn(
        self, suite: str, name: str, shape: list[int], dtype: str, pace: dict[str, Any], first: bool
    ) -> dict[str, Any]:
        """Take a case's turn; with `first`, its first call is timed, and its result checked, before."""
        from triops.bench.measure import measure_turn
        from triops.bench.timing import Pace

        assert self._case is not None
        _set_aside()
        case = self._case(suite, name)
        return measure_turn(case, self._ops, dtype, tuple(shape), Pace(**pace), first=first)


def one_line(error: BaseException) -> str:
    """An error's kind and message."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _set_aside() -> None:
    """Collect what is garbage, and never look at the rest again: what frameworks have loaded and compiled is
    none, and to search it before every turn takes ten times as long as the turn. No case is alive by now."""
    gc.collect()
    gc.freeze()


def _keep_to(cores: int) -> None:
    """Leave this process so many of its cores. XLA has no setting for its pool, which is as wide as these."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _keep_to(int(sys.argv[1]))
    main()
