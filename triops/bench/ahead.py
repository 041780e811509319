"""Kernels that stay on disk, compiled before the clock starts, by a process a core. Each calls some of the cases,
so that what these need is there, and nothing else. What every process compiles for itself, as XLA does, is no
part of this: it belongs to first calls, and is measured there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from time import monotonic

from triops.backends.threads import usable_cores
from triops.bench.process import WorkerDied, WorkerProcess
from triops.bench.results import Ahead, Target
from triops.bench.run import Plan, Progress
from triops.bench.settings import Job, Settings

__all__ = ["compile_ahead"]

_MOST = 8  # processes: each holds a case's arrays
_LIMIT_S = 300


def compile_ahead(settings: Settings, plan: Plan, progress: Progress) -> Ahead:
    """Compile what the cases need and this machine's disk does not hold yet.

    progress: is called after each case with its name, the cases done, and all of them. A case that fails here
    fails when it is measured, too, and is told then.
    """
    target = next((target for target in plan.targets if "numba" in target.versions), None)
    if target is None:
        return Ahead()
    started, jobs = monotonic(), settings.jobs()
    compilers = [_Compiler(target, settings) for _ in range(min(usable_cores(), _MOST, len(jobs)))]
    idle: SimpleQueue[_Compiler] = SimpleQueue()
    for compiler in compilers:
        idle.put(compiler)

    def compiled(job: Job) -> int:
        compiler = idle.get()
        try:
            return compiler.compile(job)
        finally:
            idle.put(compiler)

    kernels = 0
    with ThreadPoolExecutor(len(compilers)) as pool:
        names = {pool.submit(compiled, job): job.case.name for job in jobs}
        try:
            for done, future in enumerate(as_completed(names), 1):
                kernels += future.result()
                progress(f"compiled what {names[future]} needs", done, len(jobs))
        finally:
            # Of what Ctrl-C leaves undone, nothing is begun.
            pool.shutdown(wait=False, cancel_futures=True)
            for compiler in compilers:
                compiler.stop()
    return Ahead(kernels, round(monotonic() - started, 1))


class _Compiler:
    """A process that compiles for one case at a time, and the next one, should it die."""

    def __init__(self, target: Target, settings: Settings) -> None:
        self._target, self._settings = target, settings
        self._process: WorkerProcess | None = None

    def compile(self, job: Job) -> int:
        """How many kernels this case needed that were not on disk."""
        try:
            if self._process is None:
                # As many threads as will be measured, on any core.
                self._process = WorkerProcess(self._settings.threads, pinned=False)
                self._process.ask("load", limit_s=_LIMIT_S, backend=self._target.backend,
                                  device=self._target.device, model=self._settings.model)  # fmt: skip
            answer = self._process.ask("compile", limit_s=_LIMIT_S, suite=job.case.suite, name=job.case.name,
                                       shape=list(job.shape), dtype=job.dtype)  # fmt: skip
        except WorkerDied:
            self.stop()
            self._process = None
            return 0
        compiled: int = answer.get("compiled", 0)
        return compiled

    def stop(self) -> None:
        """End the process; who waits for its answer is told that it died."""
        if self._process is not None:
            self._process.close()
