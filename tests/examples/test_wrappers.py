"""The examples of wrappers run as they stand, against the real libraries."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.subject import ops_or_skip

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script: str, *args: str, **environment: str) -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *args],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def skip_without(package: str) -> None:
    """Skip where it is not installed; it is not imported here, since that would choose Keras' backend."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_jax_function(backend: str) -> None:
    ops_or_skip("jax")
    printed = run("jax_function.py", "--backend", backend, "--steps", "300")
    assert printed.count("by finite differences") == 5
    losses = [float(found) for found in re.findall(r"loss ([\d.]+)", printed)]
    assert losses[-1] < 0.1 * losses[0]
    assert float(re.findall(r"largest error is ([\d.]+)", printed)[0]) < 0.7


@pytest.mark.parametrize(
    "library",
    ["tensorflow", pytest.param("jax", marks=pytest.mark.slow), pytest.param("torch", marks=pytest.mark.slow)],
)
def test_keras_classifier(library: str) -> None:
    for package in ("keras", "sklearn", library):
        skip_without(package)
    printed = run("keras_classifier.py", "--epochs", "2", KERAS_BACKEND=library, TF_CPP_MIN_LOG_LEVEL="2")
    assert printed.startswith(f"Keras on {library}, triops on numpy")
    *trained, loaded = [float(found) for found in re.findall(r"accuracy ([\d.]+)%", printed)]
    assert len(trained) == 2
    assert trained[-1] > 85
    assert loaded == trained[-1]


@pytest.mark.skipif("TRIOPS_DATA" not in os.environ, reason="TRIOPS_DATA names no folder with the treebank")
def test_pytorch_tagger() -> None:
    skip_without("torch")
    printed = run("pytorch_tagger.py", "--sentences", "1200", "--epochs", "2")
    right = [float(found) for found in re.findall(r"([\d.]+)% of 25,1\d\d words right", printed)]
    assert len(right) == 2
    assert right[0] < right[1]
    assert right[1] > 60
