"""OpenBLAS's idle threads, which are to leave the cores to kernels."""

from __future__ import annotations

import ctypes

import pytest

from tests.interpreter import run_python
from triops.backends.threads import blas_library

pytestmark = pytest.mark.skipif(
    "openblas" not in blas_library() or not hasattr(ctypes.CDLL(blas_library()), "openblas_thread_timeout"),
    reason="NumPy's BLAS is no OpenBLAS that says how long its threads wait",
)

# How long threads wait, in powers of two of ticks, 0 for OpenBLAS's own 26.
WAIT = """
import ctypes, os, threading
import numpy as np
X = np.ones((512, 512), "float32")
X @ X
{before}
import triops
from triops.backends.threads import blas_library, get_num_threads
ops = triops.get_ops("numpy")
assert (ops.gemm(X, X) == 512).all()
print(ctypes.CDLL(blas_library()).openblas_thread_timeout(), get_num_threads(), os.environ.get("{name}"))
"""
NAME = "OPENBLAS_THREAD_TIMEOUT"


def wait(before: str = "", **environment: str) -> list[str]:
    return run_python(WAIT.format(before=before, name=NAME), OPENBLAS_NUM_THREADS="2", **environment).split()


def test_threads_rest_sooner_and_nothing_else_changes() -> None:
    assert wait() == ["18", "2", "None"]


def test_a_number_in_the_environment_stays() -> None:
    assert wait(**{NAME: "20"}) == ["20", "2", "20"]


def test_beside_other_threads_nothing_is_started_anew() -> None:
    assert wait("threading.Thread(target=threading.Event().wait, daemon=True).start()") == ["0", "2", "None"]
