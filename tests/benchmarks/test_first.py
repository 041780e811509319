"""First results of new processes: each is measured, and kernels on disk are faster than kernels to compile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.command import benchmarks

pytest.importorskip("numba", reason="Numba is not installed")


@pytest.mark.slow
def test_one_op_and_the_steps(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    done = benchmarks("first", "--filter", "backprop_relu", "--rounds", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert [op["name"] for op in found["ops"]] == ["backprop_relu"]
    assert all(0 < seconds < 30 for op in found["ops"] for seconds in op["seconds"].values())
    assert len(found["steps"]) == 2
    assert max(found["steps"][0]["seconds"]) < found["steps"][0]["no_cache_s"]
    assert "backprop_relu" in done.stdout
    assert "compile_step" in done.stdout


def test_an_unknown_op_is_refused() -> None:
    done = benchmarks("first", "--filter", "abacus")
    assert done.returncode == 2
    assert "no op has abacus in its name: adam" in " ".join(done.stderr.split())
