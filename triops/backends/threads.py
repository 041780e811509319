"""How many threads BLAS and the compiled kernels use: one number, which NumPy's BLAS keeps.

Kernels ask BLAS, so that whatever limits it limits them: its variables in the environment, threadpoolctl, the
cores that the scheduler leaves the process. What BLAS does not look at by itself, it is told when NumPy's
backend is loaded."""

from __future__ import annotations

import math
import operator
import os
from functools import cache
from types import TracebackType
from typing import Any, SupportsIndex

from triops.backends.cgroup import cgroup_limits
from triops.errors import ArgumentError

__all__ = [
    "ThreadLimit",
    "blas_library",
    "get_num_threads",
    "limit_loaded",
    "obey_machine",
    "set_num_threads",
    "usable_cores",
]

# A program that says how many threads it wants gets them, whatever the control group's quota.
_SAID = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS")
_wanted: int | None = None


class ThreadLimit:
    """What `set_num_threads` changed; as a context manager it takes that back at the end of the block."""

    def __init__(self, before: dict[str, int], wanted: int | None) -> None:
        self._before, self._wanted = before, wanted

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _wanted
        _wanted = self._wanted
        _limit({path: number for path, number in self._before.items() if number})


def set_num_threads(n: SupportsIndex) -> ThreadLimit:
    """Let BLAS and the compiled kernels of this process use n threads, and the OpenMP pools of other libraries.

    It holds for all threads of the process, and from now on; in a `with` statement, until its end. A library
    that triops loads later is limited too. XLA's threads cannot be limited once JAX is loaded. Raises
    ArgumentError.
    """
    global _wanted
    try:
        number = operator.index(n)
    except TypeError:
        number = 0
    if number < 1 or isinstance(n, bool):
        raise ArgumentError(f"set_num_threads: n must be a whole number of threads, 1 or more, got {n!r}")
    _blas()
    limit = ThreadLimit(_limit(number), _wanted)
    _wanted = number
    return limit


def get_num_threads() -> int:
    """How many threads BLAS and the compiled kernels may use now."""
    threads: int = _blas().get_num_threads()
    return threads


def blas_library() -> str:
    """The file of NumPy's BLAS, "" where it is not known."""
    path: str = _blas().filepath
    return path


def limit_loaded() -> None:
    """Limit what was loaded since `set_num_threads`."""
    if _wanted is not None:
        _limit(_wanted)


def obey_machine() -> None:
    """Tell BLAS, which has just been loaded, of the limits that it does not look at."""
    if _wanted is not None:
        _limit(_wanted)
        return
    most = _said("NUMBA_NUM_THREADS")
    if not any(_said(name) for name in _SAID):
        quota, _ = cgroup_limits()
        most = math.ceil(quota) if quota else None
    if most is not None and most < usable_cores() and most < get_num_threads():
        _limit(most)


def usable_cores() -> int:
    """How many cores the scheduler may give to this process, as far as the system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _said(name: str) -> int | None:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() and int(value) > 0 else None


def _limit(threads: int | dict[str, int]) -> dict[str, int]:
    """Limit every pool, or those whose library is named, each to its number; returns what they had."""
    before = {}
    for pool in _pools():
        before[pool.filepath] = pool.get_num_threads()
        number = threads if isinstance(threads, int) else threads.get(pool.filepath)
        if number is None or number == before[pool.filepath]:
            continue
        # threadpoolctl lets the thread that came first limit OpenBLAS, and ignores the others.
        release = getattr(pool, "clear_controlling_thread", lambda force: None)
        release(force=True)
        pool.set_num_threads(number)
        release(force=True)
    return before


class _NoPool:
    """The number of threads where NumPy's BLAS keeps none, as Apple's Accelerate."""

    filepath = ""

    def __init__(self) -> None:
        self._threads = usable_cores()

    def get_num_threads(self) -> int:
        return self._threads

    def set_num_threads(self, n: int) -> None:
        self._threads = n


def _pools() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    blas = _blas()
    pools = ThreadpoolController().lib_controllers
    return [*(pool for pool in pools if pool.filepath != blas.filepath), blas]


@cache
def _blas() -> Any:
    """What controls NumPy's BLAS."""
    import numpy  # noqa: F401 - what is not loaded has no threads
    from threadpoolctl import ThreadpoolController

    pools = ThreadpoolController().select(user_api="blas").lib_controllers
    return next((pool for pool in pools if "numpy" in pool.filepath), pools[0] if pools else _NoPool())
