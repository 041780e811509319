"""How much memory a train step takes at its peak, each peer in a process of its own."""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.train.peers import load_peers
from benchmarks.train.task import Task

__all__ = ["measure_memory"]

_STEPS = 5
_STATUS = Path("/proc/self/status")


def measure_memory(task: Task, size: str) -> tuple[dict[str, int], dict[str, str]]:
    """The bytes of each peer, and the reason for each that is left out."""
    found: dict[str, int] = {}
    peers, left_out = load_peers()
    if not _STATUS.exists():
        return found, {peer.name: "memory is read from /proc, which only Linux has" for peer in peers}
    for peer in peers:
        if getattr(task, peer.library) is None:
            left_out[peer.name] = task.absent.get(peer.library, "not yet")
        elif peer.compiles:
            left_out[peer.name] = "its first step compiles a program, and that takes more memory than the step"
        else:
            command = [sys.executable, "-m", "benchmarks.train.memory", task.name, size, peer.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                left_out[peer.name] = done.stderr.strip().splitlines()[-1]
            else:
                found[peer.name] = json.loads(done.stdout.splitlines()[-1])
    return found, left_out


def _peak(task: Task, size: str, name: str) -> int:
    (peer,) = [peer for peer in load_peers()[0] if peer.name == name]
    # A small model first, so that threads are started and code is loaded.
    small = peer.start(task, task.problem(**task.sizes["small"]))
    for _ in range(_STEPS):
        small.step()
    small.wait()
    trainer = peer.start(task, task.problem(**task.sizes[size]))
    del small
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # what is left over from the setting up would hide what the steps take
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    for _ in range(_STEPS):
        trainer.step()
    trainer.wait()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {field}")


if __name__ == "__main__":
    from benchmarks.train.tasks import TASKS

    (chosen,) = [task for task in TASKS if task.name == sys.argv[1]]
    print(json.dumps(_peak(chosen, sys.argv[2], sys.argv[3])))
