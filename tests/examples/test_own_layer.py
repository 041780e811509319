"""The example of a layer of one's own runs as it stands, on each backend."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from triops import get_ops
from triops.errors import BackendUnavailable

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_layer.py"


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_it_checks_learns_and_loads(backend: str) -> None:
    try:
        ops = get_ops(backend)
    except BackendUnavailable as error:
        pytest.skip(error.message)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), "--backend", backend],
        capture_output=True,
        text=True,
        check=True,
    )
    heading, *lines = done.stdout.splitlines()
    assert heading == f"{backend} on {ops.device}"
    checked = [line.split(":")[0].strip() for line in lines if "finite differences" in line]
    assert checked[0] == "chain > 0"
    assert len(checked) == 4
    losses = [float(found) for found in re.findall(r"loss ([\d.]+)", done.stdout)]
    assert len(losses) == 3
    assert losses[-1] < 0.3
    (accuracy,) = re.findall(r"loaded on numpy: ([\d.]+)%", done.stdout)
    assert float(accuracy) > 92
