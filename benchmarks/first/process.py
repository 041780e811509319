"""What each process of `benchmarks first` runs: an op's first call, or the first train step of a model.

Prints JSON. Whoever starts it also measures the whole process; an op's call is measured here, since what
Python, the libraries and Numba take to start is the same for all."""

from __future__ import annotations

import json
import sys
import time

__all__ = ["first_call", "first_step"]


def first_call(name: str, rows: int) -> float:
    """Seconds to the result of a kernel's first call, after Numba has compiled something else."""
    import numba

    from triops.backends.numpy.compiled import COMPILED
    from triops.backends.numpy.compiled.samples import calls_of

    numba.njit(lambda x: x + 1)(1.0)
    args, settings = next(calls_of(name, COMPILED[name], rows))
    start = time.perf_counter()
    COMPILED[name](*args, **settings)
    return time.perf_counter() - start


def first_step(task_name: str, how: str) -> float:
    """Seconds from here to the end of the first train step; importing triops is part of it."""
    start = time.perf_counter()
    from benchmarks.train.tasks import TASKS
    from benchmarks.train.with_layers import triops_trainer

    (task,) = (task for task in TASKS if task.name == task_name)
    triops_trainer("numpy", task, task.problem(**task.sizes["full"]), how=how).step()
    return time.perf_counter() - start


if __name__ == "__main__":
    kind, name, given = sys.argv[1:]
    print(json.dumps(first_call(name, int(given)) if kind == "op" else first_step(name, given)))
