"""The example of scikit-learn both ways runs as it stands, on each backend."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.subject import ops_or_skip

pytest.importorskip("sklearn")
pytest.importorskip("skops")

EXAMPLE = Path(__file__).parents[2] / "examples" / "sklearn_pipeline.py"


@pytest.mark.parametrize("backend", ["numpy", pytest.param("jax", marks=pytest.mark.slow)])
def test_both_ways_learn_and_load(backend: str) -> None:
    ops_or_skip(backend)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), "--backend", backend, "--epochs", "5"],
        capture_output=True,
        text=True,
        check=True,
    )
    searched, trained, loaded = done.stdout.splitlines()
    assert searched.startswith("the best perceptron, {'hidden': ")
    figures = [float(found) for line in (searched, trained, loaded) for found in re.findall(r"([\d.]+)%", line)]
    assert len(figures) == 3
    assert min(figures) > 90
    assert figures[1] == figures[2]
