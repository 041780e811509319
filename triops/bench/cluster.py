"""The same run on each kind of node of a Ray cluster that is there already: nodes are of one kind where their
processors, GPUs and memory are the same. Ray only carries the order there and the file back; each node measures
as `triops bench run` does, and so needs triops and its backends installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from triops.bench.results import Run, from_json
from triops.bench.settings import Settings
from triops.errors import ArgumentError, BackendUnavailable

__all__ = ["arguments_of", "run_on_cluster"]

_KEPT = (0, 1)  # exit statuses that come with a file
_LAST_WORDS = 2000


def run_on_cluster(
    address: str,
    settings: Settings,
    backends: Sequence[str],
    devices: Sequence[str],
    tell: Callable[[str], None],
) -> list[Run]:
    """A run of each kind of node, one after the other, so that two on one computer do not disturb each other.

    address: of the cluster, as Ray takes it; "local" starts one on this machine. Raises BackendUnavailable where
    Ray is missing or there is no cluster, ArgumentError where every node failed.
    """
    try:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
    except ImportError as error:
        raise BackendUnavailable(f"--ray needs the package 'ray': pip install 'triops[ray]' ({error})") from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray's own, of which there are many
        raise BackendUnavailable(f"there is no Ray cluster at {address!r}: {error}") from error
    try:
        found: list[Run] = []
        measure = ray.remote(num_cpus=0)(_measure)
        arguments = arguments_of(settings, backends, devices)
        for node, count in _kinds(ray.nodes()):
            tell(f"measuring a node with {_described(node)}, of {count} like it")
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            text, reason = ray.get(measure.options(scheduling_strategy=here).remote(arguments))
            if text is None:
                tell(f"it failed: {reason}")
            else:
                found.append(from_json(text))
    finally:
        ray.shutdown()
    if not found:
        raise ArgumentError("no node of the cluster could measure anything")
    return found


def arguments_of(settings: Settings, backends: Sequence[str], devices: Sequence[str]) -> list[str]:
    """The options of `triops bench run` that mean the same."""
    names = {"suites": "suite", "sizes": "size", "dtypes": "dtype", "batch_sizes": "batch-size"}
    arguments: list[str] = []
    for name, value in {**asdict(settings), "backend": backends, "device": devices}.items():
        option = f"--{names.get(name, name)}"
        if isinstance(value, list | tuple):
            arguments += [word for item in value for word in (option, str(item))]
        elif value is True:
            arguments.append(option)
        elif value not in (None, False):
            arguments += [option, str(value)]
    return arguments


def _measure(arguments: list[str]) -> tuple[str | None, str]:
    """On a node: the results as JSON, or why there are none."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        command = [sys.executable, "-m", "triops", "bench", "run", *arguments, "--output", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode in _KEPT and path.exists():
            return path.read_text(encoding="utf-8"), ""
        return None, done.stderr[-_LAST_WORDS:].strip() or f"exit status {done.returncode}"


def _kinds(nodes: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """One node of each kind, and how many there are of it."""
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for node in nodes:
        if node["Alive"]:
            resources = node["Resources"]
            accelerators = sorted(name for name in resources if name.startswith("accelerator_type:"))
            # Nodes of a kind differ by a few MiB of memory.
            memory = round(resources.get("memory", 0) / 2**32)
            key = (resources.get("CPU"), resources.get("GPU"), memory, *accelerators)
            kinds.setdefault(key, []).append(node)
    return [(alike[0], len(alike)) for alike in kinds.values()]


def _described(node: dict[str, Any]) -> str:
    resources = node["Resources"]
    gpus = f", {resources['GPU']:.0f} GPUs" if resources.get("GPU") else ""
    return f"{resources.get('CPU', 0):.0f} CPUs{gpus}"
