"""Compiled programs on disk: the next process reads them, and other programs of JAX stay out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.interpreter import run_python
from tests.models.samples import ops_or_skip

STEP = """
import json
import numpy as np
import triops
from triops.models import Adam, CategoricalCrossentropy, Relu, Softmax

triops.set_current_ops("jax")
import jax
events = []
jax.monitoring.register_event_listener(lambda event, **details: events.append(event.rpartition("/")[2]))
ops = triops.get_current_ops()
X = ops.asarray(np.ones((6, 5), "float32"))
model = (Relu(16, 5) >> Relu(16, 16) >> Softmax(3, 16)).initialize(X, seed=1)
before = events.count("cache_hits"), events.count("cache_misses")
step = triops.compile_step(model, CategoricalCrossentropy(), Adam(0.01))
losses = [float(step(X, [0, 1, 2, 0, 1, 2])) for _ in range(3)]
hits = events.count("cache_hits") - before[0]
misses = events.count("cache_misses") - before[1]
jax.jit(lambda x: jax.numpy.linalg.inv(x) @ jax.numpy.sin(x))(np.eye(64, dtype="float32"))
print(json.dumps([losses, hits, misses, jax.config.jax_compilation_cache_dir]))
"""


def run_step(home: Path, **environment: str) -> tuple[list[float], int, int, str | None]:
    """Three losses, the programs that came from the disk and that went there, and JAX's folder afterwards."""
    as_for_users = {"JAX_COMPILATION_CACHE_DIR": "", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1"}
    printed = run_python(STEP, **(as_for_users | {"XDG_CACHE_HOME": str(home)} | environment))
    losses, hits, misses, folder = json.loads(printed)
    return losses, hits, misses, folder


def test_the_next_process_reads_programs(tmp_path: Path) -> None:
    ops_or_skip("jax")
    first, hits, misses, folder = run_step(tmp_path)
    assert (hits, misses) == (0, 1)
    assert not folder  # JAX's settings are as they were
    kept = list((tmp_path / "triops" / "jax").glob("*-cache"))
    assert len(kept) == 1  # the step, and no other program of JAX
    assert run_step(tmp_path)[:3] == (first, 1, 0)
    (tmp_path / "file").touch()
    assert run_step(tmp_path / "file")[:3] == (first, 0, 0)  # no folder can be made there


@pytest.mark.parametrize("environment", [{"TRIOPS_JAX_CACHE": "0"}, {"JAX_ENABLE_COMPILATION_CACHE": "0"}])
def test_the_environment_forbids_it(environment: dict[str, str], tmp_path: Path) -> None:
    ops_or_skip("jax")
    assert run_step(tmp_path, **environment)[1:3] == (0, 0)
    assert not (tmp_path / "triops").exists()


def test_another_folder_stays(tmp_path: Path) -> None:
    ops_or_skip("jax")
    *_, folder = run_step(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert folder == str(tmp_path / "own")
    assert not (tmp_path / "triops").exists()
