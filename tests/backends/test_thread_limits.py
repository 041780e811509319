"""Limits of threads, obeyed by BLAS and by compiled kernels alike: which threads of a process do the work."""

from __future__ import annotations

import math
from textwrap import dedent

import pytest

import triops
from tests.interpreter import run_python
from triops.backends.threads import usable_cores
from triops.errors import ArgumentError

pytest.importorskip("numba")

needs_two = pytest.mark.skipif(usable_cores() < 2, reason="kernels have one thread here")

# The processor time of each thread of this process, as Linux counts it.
PRELUDE = """
import os, sys, time
{first}
import numpy as np
from threadpoolctl import threadpool_limits
import triops

def times():
    times = dict()
    for thread in os.listdir("/proc/self/task"):
        with open("/proc/self/task/" + thread + "/schedstat") as file:
            times[thread] = int(file.read().split()[0])
    return times

def busy(work):
    for _ in range(3):
        work()  # whatever is compiled or loaded
    time.sleep(0.3)  # threads that have just worked wait for more, busily
    before, end = times(), time.monotonic() + 0.4
    while time.monotonic() < end:
        work()
    spent = [now - before.get(thread, 0) for thread, now in times().items()]
    return sum(share > 0.002 * sum(spent) for share in spent)

X, W = np.ones((12_000, 300), "float32"), np.ones((300, 300), "float32")

def workers():
    ops = triops.get_ops("numpy")
    return busy(lambda: ops.mish(X)), busy(lambda: ops.gemm(X, W)), triops.get_num_threads()
"""


def _said(code: str, first: str = "", **environment: str) -> str:
    return run_python(PRELUDE.format(first=first) + dedent(code), **environment)


@needs_two
def test_without_a_limit_there_are_several() -> None:
    kernels, blas, threads = map(int, _said("print(*workers())").split())
    assert min(kernels, blas, threads) > 1


@needs_two
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"])
def test_the_environment_is_obeyed(name: str) -> None:
    assert _said("print(*workers())", **{name: "1"}) == "1 1 1"


@needs_two
def test_the_cores_of_the_process_are_obeyed() -> None:
    first = "os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])"
    assert _said("print(*workers())", first) == "1 1 1"


@needs_two
def test_the_quota_of_the_control_group_is_obeyed() -> None:
    quota = "import triops.backends.threads as threads; threads.cgroup_limits = lambda: (0.5, None)"
    assert _said("print(*workers())", quota) == "1 1 1"
    # A program that says how many it wants knows better.
    assert int(_said("print(triops.get_num_threads())", quota, OMP_NUM_THREADS="2")) == 2


@needs_two
@pytest.mark.parametrize("block", ["threadpool_limits(1)", "triops.set_num_threads(1)"])
def test_a_block_is_obeyed_from_its_first_call_to_its_end(block: str) -> None:
    said = _said(f"""
        with {block}:
            print(*workers())
        print(min(workers()) > 1)
        with {block}:
            print(*workers())
    """)
    assert said.splitlines() == ["1 1 1", "True", "1 1 1"]


@needs_two
def test_the_switch_holds_for_all_threads_and_can_be_raised_again() -> None:
    said = _said("""
        from concurrent.futures import ThreadPoolExecutor
        triops.get_ops("numpy")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(triops.set_num_threads, 1).result()
            print(*workers(), *pool.submit(workers).result())
            triops.set_num_threads(2)
            print(min(pool.submit(workers).result()))
    """)
    assert said.splitlines() == ["1 1 1 1 1 1", "2"]


@needs_two
def test_fewer_threads_than_numba_has() -> None:
    said = _said(
        """
        import numba
        triops.set_num_threads(2)
        print(workers()[0], numba.get_num_threads())
        """,
        NUMBA_NUM_THREADS="6",
    )
    assert said == "2 6"


def test_a_library_that_is_loaded_later_is_limited() -> None:
    pytest.importorskip("torch")
    said = _said("""
        triops.set_num_threads(1)
        from triops.models import PyTorchWrapper
        import torch
        print(torch.get_num_threads())
    """)
    assert said == "1"


def test_blocks_within_blocks() -> None:
    before = triops.get_num_threads()
    with triops.set_num_threads(1):
        with pytest.raises(ZeroDivisionError), triops.set_num_threads(before):
            1 / 0  # noqa: B018
        assert triops.get_num_threads() == 1
    assert triops.get_num_threads() == before


@pytest.mark.parametrize("n", [0, -1, 1.5, True, None, "2", math.inf])
def test_what_is_no_number_of_threads(n: object) -> None:
    with pytest.raises(ArgumentError, match="set_num_threads: n must be a whole number of threads, 1 or more"):
        triops.set_num_threads(n)  # type: ignore[arg-type]
