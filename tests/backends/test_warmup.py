"""Kernels compiled ahead of their use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import triops
from tests.backends.test_robust_cache import FULL_DISK
from tests.interpreter import HIDE, ROOT, run_python
from triops.errors import ArgumentError

pytest.importorskip("numba")

from triops.backends.numpy.compiled import COMPILED
from triops.backends.numpy.compiled.samples import small_and_large

COMMAND = "import sys; sys.argv = ['triops', 'warmup', '--filter', '{}']; from triops.cli import main; main()"


@pytest.mark.parametrize("name", COMPILED)
def test_every_compiled_op_is_warmed(name: str) -> None:
    """A new op that is missing here needs its arguments in triops/backends/numpy/compiled/samples.py."""
    for call in small_and_large(name, COMPILED[name]):
        assert call() is not NotImplemented


def test_what_was_warmed_is_compiled_no_more(tmp_path: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    warm = f"import dataclasses, json, triops; print(json.dumps(dataclasses.asdict(triops.warmup({'*relu'!r}))))"
    first, again = (json.loads(run_python(warm, **cache)) for _ in range(2))
    assert (first["ops"], first["cached"], again["cached"], again["compiled"]) == (2, 0, first["compiled"], 0)
    assert first["compiled"] >= 2
    assert first["writable"]
    assert Path(first["folder"]).is_relative_to(tmp_path)
    use = """
import numpy as np, triops
from triops.backends.numpy.compiled.jit import count_compiled
ops = triops.get_ops("numpy")
for rows in (3, 1000, 1000):
    X = np.ones((rows, 64), "float32")
    ops.backprop_relu(X, ops.relu(X))
print(count_compiled()[1])
"""
    assert run_python(use, **cache) == "0"


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    command, cache = COMMAND.format("relu"), {"NUMBA_CACHE_DIR": str(tmp_path)}
    done, where = run_python(command, **cache).splitlines()
    assert done.startswith("1 ops in ")
    assert ": 0 kernels were on disk, " in done
    assert where.startswith(f"they are in {tmp_path}")
    assert ", 0 were compiled" in run_python(command, **cache)


def test_the_command_says_that_nothing_is_kept(tmp_path: Path) -> None:
    redirected = f"import sys; sys.stderr = sys.stdout\n{FULL_DISK}\n{COMMAND.format('relu')}"
    said = run_python(redirected, NUMBA_CACHE_DIR=str(tmp_path))
    assert f"the compiled ones are not kept: {tmp_path}" in said


def test_the_command_says_that_there_is_no_folder(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(ROOT / "triops", site / "triops", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "triops/backends/numpy/compiled/__pycache__").write_text("a file is in the place of the folder")
    said = run_python(
        f"import sys; sys.stderr = sys.stdout\n{COMMAND.format('relu')}",
        path=site,
        **dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), "/proc/nowhere"),
        PYTHONSAFEPATH="1",
    )
    assert "they are not kept: no folder can be written to" in said


def test_progress_names_each_op() -> None:
    seen: list[tuple[str, int, int]] = []
    triops.warmup("*softmax", lambda *now: seen.append(now))
    names = ["backprop_log_softmax", "backprop_softmax", "log_softmax", "softmax"]
    assert seen == [(name, number, 4) for number, name in enumerate(names)]


def test_no_such_op() -> None:
    with pytest.raises(ArgumentError, match="no compiled op has a name like 'abacus'"):
        triops.warmup("abacus")


def test_without_numba_there_is_nothing_to_warm() -> None:
    said = run_python(f"""{HIDE}
hide("numba")
import triops
try:
    triops.warmup()
except triops.errors.BackendUnavailable as error:
    print(error)
""")
    assert said.startswith("warmup: there is nothing to compile without Numba")
