"""What a device can do at most, measured in the same run: how fast memory is copied, by how much of it, how fast
matrices are multiplied, and how long the shortest call takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from threading import Barrier, Thread
from time import perf_counter

from triops.backends.threads import usable_cores
from triops.bench.cases.arrays import floats, host
from triops.ops import Ops

__all__ = ["Ceilings", "best_of", "measure_ceilings"]

_KIB = 2**10
_SIZES = tuple(64 * _KIB * 4**i for i in range(7))  # up to 256 MiB, beyond most last-level caches
_QUICK_SIZES = 5
_EXTENTS = {"float32": 2048, "float64": 1024, "float16": 1024, "bfloat16": 1024}
_GPU_EXTENT = 8192
_QUICK_EXTENT = 512


@dataclass(frozen=True)
class Ceilings:
    """copy_bytes_s: bytes a second, read and written together, by the bytes that are touched. gemm_flops_s:
    floating-point operations a second by dtype. dispatch_s: the least seconds of any call."""

    copy_bytes_s: dict[int, float]
    gemm_flops_s: dict[str, float]
    dispatch_s: float = 0.0

    def seconds(self, moved: int, flops: float, dtype: str = "float32") -> float:
        """The least time for work that moves and computes that much: whichever takes longer."""
        return max(moved / self.copy_rate(moved), flops / self.gemm_flops_s[dtype], self.dispatch_s)

    def copy_rate(self, moved: int) -> float:
        """Bytes a second when so many are touched: that of the next larger size that was measured."""
        fitting = [size for size in self.copy_bytes_s if size >= moved]
        return self.copy_bytes_s[min(fitting, default=max(self.copy_bytes_s))]


def best_of(everyone: Iterable[Ceilings]) -> Ceilings:
    """What a device can do, of what its backends can do on it."""
    everyone = list(everyone)
    return Ceilings(
        {size: max(each.copy_bytes_s[size] for each in everyone) for size in everyone[0].copy_bytes_s},
        {dtype: max(each.gemm_flops_s[dtype] for each in everyone) for dtype in everyone[0].gemm_flops_s},
        min(each.dispatch_s for each in everyone),
    )


def measure_ceilings(ops: Ops, dtypes: Sequence[str] = ("float32",), quick: bool = False) -> Ceilings:
    """All three of these ops' device; of a CPU on all the cores that this process may use."""
    sizes = _SIZES[:_QUICK_SIZES] if quick else _SIZES
    turn_s = 0.01 if quick else 0.1
    on_cpu = ops.backend.device.kind == "cpu"
    extents = {dtype: _QUICK_EXTENT if quick else _EXTENTS[dtype] if on_cpu else _GPU_EXTENT for dtype in dtypes}
    copy = _copy if on_cpu else lambda size, turn_s: _device_copy(ops, size, turn_s)
    tiny = ops.asarray(floats(1, 1))
    return Ceilings(
        {size: copy(size, turn_s) for size in sizes},
        {dtype: _gemm(ops, dtype, extent, turn_s) for dtype, extent in extents.items()},
        _best(lambda: ops.synchronize(tiny + tiny), turn_s),
    )


def _copy(size: int, turn_s: float) -> float:
    """The best of one thread and all of them, each copying a part of its own, so that no dispatch is timed."""
    return max(_copy_on(threads, size, turn_s) for threads in {1, usable_cores()})


def _copy_on(threads: int, size: int, turn_s: float) -> float:
    np = host()
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


def _device_copy(ops: Ops, size: int, turn_s: float) -> float:
    X = ops.alloc((size // 8,), "float32")  # half of it is read, half is written
    return size / _best(lambda: ops.synchronize(X + 1), turn_s)


def _gemm(ops: Ops, dtype: str, extent: int, turn_s: float) -> float:
    X = ops.asarray(floats(extent, extent), dtype)
    return 2.0 * prod((extent,) * 3) / _best(lambda: ops.synchronize(ops.gemm(X, X)), turn_s)


def _best(work: Callable[[], object], turn_s: float) -> float:
    """The least time of a call, after a first one, over some calls."""
    work()
    times: list[float] = []
    stop = perf_counter() + 4 * turn_s
    while len(times) < 3 or perf_counter() < stop:
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)
