"""A run on a Ray cluster: of this one machine, which is a cluster as well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from triops.bench.cluster import _kinds, arguments_of, run_on_cluster
from triops.bench.results import read_run
from triops.bench.settings import Settings
from triops.errors import BackendUnavailable


def test_settings_become_the_options_that_mean_the_same() -> None:
    settings = Settings(suites=["ops", "train"], sizes=["small"], threads=2, quick=True, filter=["relu"])
    assert arguments_of(settings, ["numpy"], ["cpu:0"]) == [
        "--suite", "ops", "--suite", "train", "--size", "small", "--filter", "relu", "--threads", "2", "--quick",
        "--backend", "numpy", "--device", "cpu:0",
    ]  # fmt: skip
    own = Settings(model="mine:model", batch_sizes=[1, 8])
    assert arguments_of(own, [], []) == ["--model", "mine:model", "--batch-size", "1", "--batch-size", "8"]


def test_one_node_of_each_kind() -> None:
    def node(name: str, alive: bool = True, **resources: float) -> dict[str, object]:
        return {"NodeID": name, "Alive": alive, "Resources": {"memory": 8e9, **resources}}

    small, other, large = node("a", CPU=2), node("b", CPU=2, memory=8.1e9), node("c", CPU=16, GPU=1)
    assert _kinds([small, other, large, node("d", alive=False, CPU=64)]) == [(small, 2), (large, 1)]


def test_without_ray_or_a_cluster_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'triops\[ray\]'"):
        run_on_cluster("auto", Settings(), [], [], print)


@pytest.mark.slow
def test_a_run_on_a_local_cluster(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    command = ["bench", "run", "--ray", "local", "--backend", "numpy", "--quick", "--filter", "relu_call"]
    done = subprocess.run(
        [sys.executable, "-m", "triops", *command, "--output", "run.json"],
        cwd=tmp_path,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(tmp_path)[:40]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (row,) = read_run(tmp_path / "run-1.json").rows
    assert (row.case, row.backend, row.wrong) == ("relu_call", "numpy", False)
    assert "measuring a node with" in done.stderr
