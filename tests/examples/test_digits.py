"""The digits example runs as it stands, on each backend."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.subject import ops_or_skip

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.py"


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_it_learns_and_loads_elsewhere(backend: str) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    ops = ops_or_skip(backend)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), "--backend", backend, "--epochs", "3"],
        capture_output=True,
        text=True,
        check=True,
    )
    heading, *lines = done.stdout.splitlines()
    assert heading == f"{backend} on {ops.device}"
    accuracies = [float(found) for found in re.findall(r"accuracy ([\d.]+)%", done.stdout)]
    assert len(accuracies) == 3
    assert accuracies[-1] > 85
    loaded = [line for line in lines if "loaded on" in line]
    assert any("numpy" in line for line in loaded)
    assert all("100.0% of the predictions are the same" in line for line in loaded)
