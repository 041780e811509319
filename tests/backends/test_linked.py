"""Code that kernels call where it is, instead of having it in them: in the first call, from disk, and where it is
missing. Every test runs real processes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.interpreter import run_python

pytest.importorskip("numba")

# What came out; how many functions came from the cache and from the compiler. On disk are products with a thread
# around them, the product itself, and tiles, which it calls.
_COMPUTE = """
import hashlib, numpy as np, triops
from triops.backends.numpy.compiled.build import CALLS_WITHOUT_THREADS
from triops.backends.numpy.compiled.jit import count_compiled
ops = triops.get_ops("numpy")
A, B = (np.cos(np.arange(float(n), dtype="f4")).reshape(-1, 300) for n in (300_000, 90_000))
digests = set()
with triops.set_num_threads(2):
    for _ in range({calls}):
        digests.add(hashlib.sha256(ops.gemm(A, B).tobytes()).hexdigest())
print(*digests, *count_compiled())
"""
_ALL = "CALLS_WITHOUT_THREADS + 1"


def _compute(cache: Path, calls: str = _ALL) -> list[str]:
    return run_python(_COMPUTE.format(calls=calls), NUMBA_CACHE_DIR=str(cache)).split()


def _kept(cache: Path, kind: str) -> list[Path]:
    return [file for file in cache.rglob("*.nb*") if kind in file.name]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A cache that holds all that is compiled, and what the process said that filled it."""
    cache = tmp_path_factory.mktemp("kept")
    return cache, _compute(cache)


def test_code_on_disk_finds_what_it_calls(kept: tuple[Path, list[str]]) -> None:
    cache, (digest, *counts) = kept
    assert counts[0] == "0"
    assert all(_kept(cache, kind) for kind in ("tiles", "product_rows", "driver"))
    assert _compute(cache) == [digest, counts[1], "0"]


@pytest.mark.parametrize("kind", ["tiles", "_slice", "driver", "region"])
def test_what_is_missing_is_compiled(kind: str, kept: tuple[Path, list[str]], tmp_path: Path) -> None:
    cache, (digest, _, compiled) = kept
    copy = shutil.copytree(cache, tmp_path / "copy")
    for file in _kept(copy, kind):
        file.unlink()
    assert _compute(copy) == [digest, str(int(compiled) - 1), "1"]


def test_the_first_results_wait_for_no_threads(tmp_path: Path) -> None:
    digest, *_ = _compute(tmp_path, "CALLS_WITHOUT_THREADS")
    assert not _kept(tmp_path, "driver")
    assert _compute(tmp_path)[0] == digest
    assert _kept(tmp_path, "driver")
