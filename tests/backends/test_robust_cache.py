"""Kernels whatever the disk says: folders that cannot be written to, damaged files, a full disk, another CPU.
Every test runs real processes on real folders."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.interpreter import ROOT, run_python

pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permissions are Unix's")

# Permissions do not bind a process with root's capabilities: give them up.
UNPRIVILEGED = """
import ctypes, sys
if sys.platform == "linux":
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
"""
FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
# Whether the result is right, and how many functions came from the cache and from the compiler.
COMPUTE = """
import numpy as np, triops
ops = triops.get_ops("numpy")
X = np.linspace(-3, 3, 60_000, dtype="float32").reshape(200, 300)
right = np.allclose(ops.relu(X), np.maximum(X, 0))
from triops.backends.numpy.compiled.jit import count_compiled
print(right, *count_compiled())
"""


def _compute(cache: Path | None, first: str = "", path: Path | None = None, **environment: str) -> str:
    folder = {"NUMBA_CACHE_DIR": "" if cache is None else str(cache), "PYTHONSAFEPATH": "1"}
    if path is not None:
        first += f"\nimport triops; assert triops.__file__.startswith({str(path)!r})"
    return run_python(first + "\n" + dedent(COMPUTE), path=path, **folder | environment)


def _read_only(folder: Path) -> None:
    for place in (folder, *(place for place in folder.rglob("*") if place.is_dir())):
        place.chmod(0o555)


@pytest.fixture
def writable_again(tmp_path: Path) -> Iterator[None]:
    yield
    for place in (tmp_path, *tmp_path.rglob("*")):
        if place.is_dir():
            place.chmod(0o755)


def test_the_cache_is_used(tmp_path: Path) -> None:
    assert _compute(tmp_path) == "True 0 1"
    assert _compute(tmp_path) == "True 1 0"


@pytest.mark.usefixtures("writable_again")
def test_no_folder_can_be_written_to(tmp_path: Path) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    shutil.copytree(ROOT / "triops", site / "triops", ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    _read_only(tmp_path)
    first = UNPRIVILEGED + "import os; assert not os.access(os.environ['HOME'], os.W_OK)"
    said = _compute(None, first, site, HOME=str(home), XDG_CACHE_HOME=str(home / "cache"))
    assert said == "True 0 1"
    assert not list(tmp_path.rglob("*.nbi"))


def test_there_is_no_home(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(ROOT / "triops", site / "triops", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "triops/backends/numpy/compiled/__pycache__").write_text("a file is in the place of the folder")
    nowhere = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere/cache"}
    assert _compute(None, path=site, **nowhere) == "True 0 1"


@pytest.mark.usefixtures("writable_again")
def test_a_cache_that_others_filled_is_read(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert _compute(cache) == "True 0 1"
    _read_only(cache)
    assert _compute(cache, UNPRIVILEGED) == "True 1 0"


@pytest.mark.usefixtures("writable_again")
def test_a_package_that_others_filled_is_read(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(ROOT / "triops", site / "triops", ignore=shutil.ignore_patterns("__pycache__"))
    assert _compute(None, path=site) == "True 0 1"
    _read_only(site)
    nowhere = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere/cache"}
    assert _compute(None, UNPRIVILEGED, path=site, **nowhere) == "True 1 0"


def test_the_disk_is_full(tmp_path: Path) -> None:
    assert _compute(tmp_path, FULL_DISK).startswith("True 0 ")
    assert _compute(tmp_path) == "True 0 1"


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _scramble(file: Path) -> None:
    file.write_bytes(bytes(255 - byte for byte in file.read_bytes()))


def _make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def test_damaged_files(tmp_path: Path) -> None:
    """Each damage to an index and to a kernel, each of another op, met by one process."""
    damages = [_truncate, _empty, _scramble, Path.unlink, _make_a_folder]
    names = ["relu", "backprop_relu", "erf", "sigmoid", "tanh", "swish", "gelu", "mish", "dish", "softplus"]
    compute = f"""
import numpy as np, triops
from triops.backends.numpy.compiled.jit import count_compiled
ops = triops.get_ops("numpy")
X = np.linspace(-3, 3, 99, dtype="float32")
for name in {names}:
    op = getattr(ops, name)
    args = [X] * (1 + name.startswith("backprop"))
    exact = op(*(arg.astype("float64") for arg in args))
    assert np.allclose(op(*args), exact, rtol=1e-5, atol=1e-6), name
print(*count_compiled())
"""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    # One more than there are ops: what calls small kernels directly, which pays from the eighth on.
    assert run_python(compute, **cache) == "0 11"
    assert run_python(compute, **cache) == "11 0"
    cases = [(damage, kind) for damage in damages for kind in ("nbi", "nbc")]
    for name, (damage, kind) in zip(names, cases, strict=True):
        (file,) = tmp_path.rglob(f"jit.{name}_????????_slice*.{kind}")
        damage(file)
    assert run_python(compute, **cache) == "1 10"
    # A folder in a file's place is left alone.
    assert run_python(compute, **cache) == "9 2"


def test_another_cpu_finds_an_old_cache(tmp_path: Path) -> None:
    assert _compute(tmp_path) == "True 0 1"
    other = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert _compute(tmp_path, **other) == "True 0 1"
    assert _compute(tmp_path, **other) == "True 1 0"
    assert _compute(tmp_path) == "True 1 0"
