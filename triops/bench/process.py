"""The other end of a worker: starts its process with its thread limits, gives it orders, and says why it died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile
from threading import Thread
from typing import Any

from triops.backends.threads import usable_cores
from triops.errors import ArgumentError

__all__ = ["THREAD_SETTINGS", "WorkerDied", "WorkerProcess", "check_threads"]

THREAD_SETTINGS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip

_LAST_WORDS = 2000  # bytes of stderr that may hold the reason


class WorkerDied(Exception):
    """A worker's process ended, or hung and was ended; the message says how."""


class WorkerProcess:
    """A fresh process of `triops.bench.worker`. threads: to how many it is limited, None for no limit but the
    machine's. Libraries read such limits when they are loaded, and so they are set before there is a process.
    pinned: keep it to as many cores, too."""

    def __init__(self, threads: int | None = None, *, pinned: bool = True) -> None:
        environment = dict(os.environ)
        if threads is not None:
            environment |= dict.fromkeys(THREAD_SETTINGS, str(threads))
        # A GPU is shared by those that measure it.
        environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        cores = [str(threads)] if threads is not None and pinned else []
        self._stderr = TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "triops.bench.worker", *cores],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            text=True,
            process_group=0,  # Ctrl-C is for the one that has the results
        )
        self._answers: SimpleQueue[str] = SimpleQueue()
        Thread(target=self._listen, daemon=True).start()

    def ask(self, do: str, *, limit_s: float, **order: Any) -> dict[str, Any]:
        """The answer to an order. Raises WorkerDied where there is none within that time."""
        assert self._process.stdin is not None
        try:
            print(json.dumps({"do": do, **order}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerDied(self._why()) from None
        try:
            line = self._answers.get(timeout=limit_s)
        except Empty:
            self.close()
            raise WorkerDied(f"no answer within {limit_s:g} s, and so it was ended") from None
        if not line.endswith("\n"):
            raise WorkerDied(self._why())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._stderr):
            with suppress(BrokenPipeError):
                assert stream is not None
                stream.close()

    def _listen(self) -> None:
        """Pass each line on, and an empty one at the end; a pipe by itself knows no time limit everywhere."""
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self._answers.put(line)
        self._answers.put("")

    def _why(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _LAST_WORDS))
        lines = self._stderr.read().decode(errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        return f"the process ended by {how}" + (f": {last}" if last else "")


def check_threads(threads: int | None) -> None:
    """Raise ArgumentError for a number of threads that this machine cannot give."""
    if threads is None:
        return
    if not 1 <= threads <= usable_cores():
        raise ArgumentError(
            f"threads must be from 1 to {usable_cores()}, the cores that this process may use, got {threads}"
        )
