"""Freed memory that stays with the process: fewer page faults, and no growth."""

from __future__ import annotations

import platform
import sys

import pytest

from tests.interpreter import run_python

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="malloc's settings are glibc's"
)
pytest.importorskip("numba")

# Page faults of a call with a result of 37 MB.
FAULTS = """
import resource
import numpy as np, triops
ops = triops.get_ops("numpy")
X = np.ones((32_000, 288), "float32")
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    ops.relu(X)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(6)))
"""
STEPS = """
import resource
import numpy as np, triops
from triops.models import Adam, CategoricalCrossentropy, LayerNorm, Maxout, Softmax
rng = np.random.default_rng(0)
model = (Maxout(96, 96, 3) >> LayerNorm(96) >> Softmax(10, 96)).initialize()
optimizer, loss = Adam(), CategoricalCrossentropy()
def megabytes(steps):
    for _ in range(steps):
        X = rng.standard_normal((rng.integers(500, 4000), 96)).astype("float32")
        Yh, backprop = model.begin_update(X)
        backprop(loss.get_grad(Yh, np.arange(len(X)) % 10), sgd=optimizer)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
first = megabytes(50)
print(megabytes(200) - first)
"""


def test_large_results_cost_no_page_faults() -> None:
    assert int(run_python(FAULTS)) <= 5


@pytest.mark.parametrize("setting", [{"TRIOPS_MALLOC": "0"}, {"MALLOC_MMAP_THRESHOLD_": "131072"}], ids=str)
def test_it_can_be_turned_off(setting: dict[str, str]) -> None:
    assert int(run_python(FAULTS, **setting)) > 5
    said = run_python(
        "from triops.backends.malloc import keep_freed_memory; print(keep_freed_memory())", **setting
    )
    assert said == "False"


def test_memory_does_not_grow_with_steps_of_many_sizes() -> None:
    assert float(run_python(STEPS)) < 64
