"""The engine beside pyperf: both measure one call, and the table has what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interpreter import ROOT

pytest.importorskip("pyperf", reason="pyperf is not installed")


@pytest.mark.slow
def test_a_round_of_one_call(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    command = ["pyperf", "--rounds", "1", "--filter", "layer_norm", "--json", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (call,) = json.loads(path.read_text())["calls"]
    (theirs,), (ours,) = call["pyperf_s"], call["triops_s"]
    assert 0.3 < ours / theirs < 3  # of one round on whatever else this machine does
    assert "layer_norm 4000x288" in done.stdout


def test_an_unknown_call_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "pyperf", "--filter", "abacus"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no call has abacus in its name: gelu, gelu, softmax" in " ".join(done.stderr.split())
