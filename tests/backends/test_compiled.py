"""Kernels that Numba compiles: with threads around them, in a forked child, from many threads at once, and
where Numba is missing. What they compute is the business of the table of op cases."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from tests.interpreter import HIDE, run_python
from tests.ops.cases import CASES, OpCase, leaves, mapped
from tests.subject import method_of
from triops import get_ops, set_num_threads

pytest.importorskip("numba")

from triops.backends.numpy.compiled import COMPILED, rows
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.elementwise import FORMS
from triops.backends.numpy.compiled.pool import POOL
from triops.backends.numpy.compiled.samples import calls_of

COMPILED_CASES = [case for case in CASES.values() if case.op in COMPILED]


def _driven(threads: bool, op: Any, args: list[Any], settings: Any) -> list[Any]:
    """An op with every kernel on one thread or on several, in more slices than a small array has rows."""

    def call(self: Kernel, work: int, *args: Any, slices: int | None = None, size: int | None = None) -> None:
        self.in_slices(POOL.wake(1) if threads else 0, work, slices or (5 if threads else 1), *args)

    def found(self: Kernel, name: str) -> Any:
        return partial(call, self) if name == "run" else object.__getattribute__(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "__getattribute__", found)
        # Moments are updated where they are.
        return leaves(op(*(mapped(lambda array: array.copy(order="K"), arg) for arg in args), **settings))


@pytest.mark.parametrize("case", COMPILED_CASES, ids=lambda case: case.op)
def test_threads_change_no_result(case: OpCase) -> None:
    ops = get_ops("numpy")
    for label, sample in case.drawn().items():
        with np.errstate(all="ignore"):
            args = [mapped(_float32, arg) for arg in sample.args]
            one, several = (
                _driven(threads, method_of(ops, case.op), args, sample.settings) for threads in (False, True)
            )
        for a, b in zip(one, several, strict=True):
            # The last entries of a slice are computed one by one, the others in vectors that contract otherwise.
            np.testing.assert_allclose(a, b, rtol=5e-6, atol=1e-6, err_msg=f"{case.op}, {label}")


def test_results_are_the_same_bits_for_any_number_of_threads() -> None:
    """The first result, which no threads compute, among them."""
    ops = get_ops("numpy")
    X, dY = (ops.draw_normal(seed, (1001, 291)) for seed in (1, 2))
    G, b = X[0], X[1]
    _, mu, rstd = ops.layer_norm(X, G, b)
    calls: dict[str, Callable[[], Any]] = {
        name: partial(COMPILED[name], *(dY, X)[2 - len(form.arrays) :], **dict.fromkeys(form.settings, 0.5))
        for name, form in FORMS.items()
    }
    calls |= {
        "softmax": lambda: ops.softmax(X),
        "cross_entropy": lambda: ops.cross_entropy(X, abs(dY)),
        "backprop_layer_norm": lambda: ops.backprop_layer_norm(dY, X, mu, rstd, G),
        "adam": lambda: COMPILED["adam"](X, dY, 0 * X, abs(X), 0.9, 0.1, 0.99, 0.01, 1e-8, 0.001, 1.0, 1.0),
        "clip_gradient": lambda: ops.clip_gradient(X, 1.0),
        "dropout_mask": lambda: COMPILED["dropout_mask"](1, 2, 0.3, 0, shape=X.shape, dtype="f"),
    }
    for name, call in calls.items():
        results = [call(), call(), call()]
        with set_num_threads(1):
            results.append(call())
        first, *others = [result if isinstance(result, tuple) else (result,) for result in results]
        for other in others:
            for a, b in zip(first, other, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=name)


def test_results_are_the_same_bits_wherever_arrays_lie() -> None:
    """Code that looks whether what it writes to overlaps what it reads takes another loop where they are near."""
    memory, results = np.zeros(4096, np.float32), []
    X = np.random.default_rng(5).standard_normal(40).astype(np.float32)
    for gap in (0, 1, 4, 8, 16, 1024):
        near, Y = memory[:40], memory[40 + gap : 80 + gap]
        near[:] = X
        rows.LOOPS["softmax"].whole(near[None], Y[None], 4.0)
        results.append(Y.copy())
    for result in results:
        np.testing.assert_array_equal(result, results[-1])


@pytest.mark.parametrize("name", COMPILED)
def test_kernels_let_go_of_their_arguments(name: str) -> None:
    """Also those who only had a view of them."""
    for args, settings in calls_of(name, COMPILED[name], 4):
        arrays = [arg for arg in args if isinstance(arg, np.ndarray)]
        counts = []
        for _ in range(3):
            COMPILED[name](*args, **settings)
            counts.append([sys.getrefcount(array) for array in arrays])
        assert counts[1] == counts[2]


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
