"""What this machine can do at most, measured in the same run: how fast memory is copied, by how much of it, and
how fast matrices are multiplied."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from threading import Barrier, Thread
from time import perf_counter

import numpy as np

__all__ = ["Ceilings", "measure_ceilings"]

_KIB, _MIB = 2**10, 2**20
_SIZES = tuple(64 * _KIB * 4**i for i in range(7))  # up to 256 MiB, beyond most last-level caches


@dataclass(frozen=True)
class Ceilings:
    """Bytes a second, read and written together, by the bytes that are touched; float32 operations a second."""

    copy_bytes_s: dict[int, float]
    gemm_flops_s: float

    def seconds(self, moved: int, flops: float) -> float:
        """The least time for work that moves and computes that much: whichever takes longer."""
        fitting = [size for size in self.copy_bytes_s if size >= moved]
        rate = self.copy_bytes_s[min(fitting, default=max(self.copy_bytes_s))]
        return max(moved / rate, flops / self.gemm_flops_s)


def measure_ceilings(quick: bool = False) -> Ceilings:
    """Both ceilings, on all the cores that this process may use."""
    sizes = _SIZES[:5] if quick else _SIZES
    turn_s = 0.01 if quick else 0.1
    return Ceilings({size: _copy(size, turn_s) for size in sizes}, _gemm(512 if quick else 2048, turn_s))


def _copy(size: int, turn_s: float) -> float:
    """The best of one thread and all of them, each copying a part of its own, so that no dispatch is timed."""
    return max(_copy_on(threads, size, turn_s) for threads in {1, _cores()})


def _copy_on(threads: int, size: int, turn_s: float) -> float:
    part = size // 2 // threads
    source, target = (np.ones((threads, part), "uint8") for _ in range(2))
    repeats, rounds = max(1, round(turn_s * 1e10 / size)), 3
    together = Barrier(threads)
    # By the threads' own clocks: who waits for them may wake up late.
    clocks = np.zeros((rounds, 2, threads))

    def work(row: int) -> None:
        for clock in clocks:
            together.wait()
            clock[0, row] = perf_counter()
            for _ in range(repeats):
                np.copyto(target[row], source[row])
            clock[1, row] = perf_counter()

    workers = [Thread(target=work, args=(row,)) for row in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = clocks[:, 1].max(axis=1) - clocks[:, 0].min(axis=1)
    return float(2 * part * threads * repeats / seconds.min())


def _gemm(extent: int, turn_s: float) -> float:
    X = np.random.default_rng(0).standard_normal((extent, extent), dtype="float32")
    return 2 * extent**3 / _best(lambda: X @ X, turn_s)


def _best(work: Callable[[], object], turn_s: float) -> float:
    """The least time of a call, after a first one, over some calls."""
    work()
    times, stop = [], perf_counter() + 4 * turn_s
    while len(times) < 3 or perf_counter() < stop:
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
