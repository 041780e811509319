"""KerasWrapper on each backend of Keras, which are chosen when Keras is imported: a process for each."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CONTRACT = Path(__file__).with_name("keras_contract.py")


@pytest.mark.parametrize(
    "case",
    ["tensorflow", pytest.param("jax", marks=pytest.mark.slow), pytest.param("torch", marks=pytest.mark.slow)],
)
def test_keras_on(case: str) -> None:
    for package in ("keras", case):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", str(CONTRACT)],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"KERAS_BACKEND": case, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
