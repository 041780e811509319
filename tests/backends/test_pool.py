"""The threads of kernels: every slice is computed once, by whoever has time for it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from tests.interpreter import run_python
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.pool import POOL


def count_slice(counts: Any, part: int) -> None:
    total = np.float32(0)
    for i in range(20_000):  # long enough for another thread to come
        total = total * np.float32(0.5) + np.float32(i)
    counts[part] += np.float32(1) + min(total, np.float32(0))


_counting = Kernel(count_slice, globals(), {}, threshold=1)


def _counted(helpers: int, slices: int) -> Any:
    counts = np.zeros(slices, np.float32)
    _counting.in_slices(POOL.wake(helpers), slices, slices, counts)
    return counts


@pytest.mark.parametrize("helpers", [0, 1, 3])
@pytest.mark.parametrize("slices", [1, 2, 97])
def test_every_slice_is_computed_once(helpers: int, slices: int) -> None:
    for _ in range(20):
        np.testing.assert_array_equal(_counted(helpers, slices), 1)


def test_threads_that_sleep_are_woken() -> None:
    _counted(2, 50)
    deadline = time.monotonic() + 20
    while len(POOL._asleep) < len(POOL._threads) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(POOL._asleep) == len(POOL._threads) >= 2
    assert POOL.wake(2) == 2
    assert not POOL._asleep
    np.testing.assert_array_equal(_counted(2, 50), 1)


def test_callers_at_once_all_get_their_own() -> None:
    together = threading.Barrier(8)

    def many(_: int) -> bool:
        together.wait()
        return all((_counted(2, 11) == 1).all() for _ in range(50))

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(many, range(8)))


def test_a_process_ends_while_threads_wait_for_work() -> None:
    code = """
    import numpy as np, triops
    from triops.backends.numpy.compiled.pool import POOL
    ops = triops.get_ops("numpy")
    with triops.set_num_threads(3):
        for _ in range(2):  # where nothing is on disk the first result comes without threads
            Y = ops.mish(np.ones((500, 500), dtype="float32"))
    print(len(POOL._threads), float(Y[0, 0]) > 0)
    """
    assert run_python(dedent(code)) == "2 True"
