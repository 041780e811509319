"""Kernels that Numba compiles: with threads around them, in a forked child, from many threads at once, and
where Numba is missing. What they compute is the business of the table of op cases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from tests.interpreter import HIDE, run_python
from tests.ops.cases import CASES, OpCase, leaves, mapped
from triops import get_ops

pytest.importorskip("numba")

from triops.backends.numpy.compiled import COMPILED
from triops.backends.numpy.compiled.build import Kernel

COMPILED_CASES = [case for case in CASES.values() if case.op in COMPILED]


def _driven(driver: int, op: Any, args: list[Any], settings: Any) -> list[Any]:
    """An op with every kernel on one thread (0) or on several (1), in more slices than a small array has rows."""

    def call(self: Kernel, work: int, *args: Any, slices: int | None = None) -> None:
        self._drivers[driver](work, slices or (5 if driver else 1), *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "__call__", call)
        # Moments are updated where they are.
        return leaves(op(*(mapped(lambda array: array.copy(order="K"), arg) for arg in args), **settings))


@pytest.mark.parametrize("case", COMPILED_CASES, ids=lambda case: case.op)
def test_threads_change_no_result(case: OpCase) -> None:
    ops = get_ops("numpy")
    for label, sample in case.drawn().items():
        with np.errstate(all="ignore"):
            args = [mapped(_float32, arg) for arg in sample.args]
            one, several = (_driven(driver, getattr(ops, case.op), args, sample.settings) for driver in (0, 1))
        for a, b in zip(one, several, strict=True):
            # The last entries of a slice are computed one by one, the others in vectors that contract otherwise.
            np.testing.assert_allclose(a, b, rtol=5e-6, atol=1e-6, err_msg=f"{case.op}, {label}")


def test_a_forked_child_computes() -> None:
    said = _said("""
        import os
        import numpy as np
        import triops

        ops = triops.get_ops("numpy")
        X = np.linspace(-3, 3, 200_000, dtype="float32")
        before = ops.gelu(X)
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(ops.gelu(X), before) else 1)
        print(os.waitpid(child, 0)[1], np.array_equal(ops.gelu(X), before))
    """)
    assert said == "0 True"


def test_many_threads_compute_at_once() -> None:
    ops = get_ops("numpy")
    arrays = [np.linspace(-i, i, 100_000, dtype="float32") for i in range(1, 17)]
    expected = [ops.mish(X) for X in arrays]
    with ThreadPoolExecutor(16) as pool:
        for _ in range(3):
            for found, wanted in zip(pool.map(ops.mish, arrays), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_without_numba_the_formulas_serve() -> None:
    said = _said("""
        hide("numba")
        import triops

        ops = triops.get_ops("numpy")
        print(len(ops.backend.compiled), ops.relu(ops.asarray([-1.0, 2.0])))
    """)
    assert said == "0 [0. 2.]"


def _float32(arg: Any) -> Any:
    return arg.astype("float32") if arg.dtype == "float64" else arg


def _said(code: str) -> str:
    return run_python(HIDE + dedent(code))
