"""Compiled programs on disk: the next process reads them, and other programs of JAX stay out."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.interpreter import run_python
from tests.models.samples import ops_or_skip
from triops.errors import ArgumentError

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
    # What is compiled in no time, as tests compile, is not kept.
    as_for_users = {
        "JAX_COMPILATION_CACHE_DIR": "",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1",
        "XLA_FLAGS": "",
    }
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


def entry(folder: Path, name: str, size: int, used: float) -> Path:
    file = folder / f"{name}-cache"
    file.write_bytes(bytes(size))
    os.utime(file, (used, used))
    return file


def test_programs_that_were_not_used_for_longest_go(tmp_path: Path) -> None:
    ops_or_skip("jax")
    folder = tmp_path / "triops" / "jax"
    folder.mkdir(parents=True)
    old, older = entry(folder, "old", 600_000, 2000), entry(folder, "older", 600_000, 1000)
    other = folder / "no program"
    other.write_bytes(bytes(2**20))
    assert run_step(tmp_path, TRIOPS_JAX_CACHE="1")[1:3] == (0, 1)
    assert old.exists()
    assert not older.exists()
    assert other.exists()
    assert run_step(tmp_path, TRIOPS_JAX_CACHE="1")[1:3] == (1, 0)


def test_many_prune_one_folder(tmp_path: Path) -> None:
    ops_or_skip("jax")
    from triops.backends.jax.disk import prune

    for number in range(300):
        entry(tmp_path, str(number), 1000, number)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: prune(tmp_path, 50_000), range(8)))
    assert {file.name for file in tmp_path.iterdir()} == {f"{number}-cache" for number in range(250, 300)}


def test_a_size_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    ops_or_skip("jax")
    from triops.backends.jax.disk import largest

    monkeypatch.setenv("TRIOPS_JAX_CACHE", "2 GB")
    with pytest.raises(ArgumentError, match="TRIOPS_JAX_CACHE must be a whole number of MiB, got '2 GB'"):
        largest()
    monkeypatch.setenv("TRIOPS_JAX_CACHE", " 3 ")
    assert largest() == 3 * 2**20
    monkeypatch.delenv("TRIOPS_JAX_CACHE")
    assert largest() == 512 * 2**20
