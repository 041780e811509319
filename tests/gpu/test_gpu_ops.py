"""The table of op cases on CUDA devices, and what only holds there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import triops
from tests.gpu.conftest import CUDA, cuda_devices, why_no_cuda

# The tests of the table, which take this folder's backends.
from tests.ops.test_cases import (
    test_arrays_of_another_backend_raise,
    test_bad_calls_raise,
    test_gradient_is_the_slope,
    test_lists_raise,
    test_result_is_the_oracles,
)
from tests.ops.test_random import CALLS
from tests.subject import Subject
from triops import get_ops
from triops.errors import ArrayOwnerError

if not cuda_devices():
    pytest.skip("; ".join(map(why_no_cuda, CUDA)), allow_module_level=True)

__all__ = [
    "test_arrays_of_another_backend_raise",
    "test_bad_calls_raise",
    "test_gradient_is_the_slope",
    "test_lists_raise",
    "test_result_is_the_oracles",
]


@pytest.mark.parametrize("call", CALLS)
def test_same_bits_as_on_the_cpu(call: str, backend: Subject) -> None:
    args, settings = CALLS[call]
    numpy, method = get_ops("numpy"), call.split()[0]
    there = backend.numpy(getattr(backend.ops, method)(*args, **settings))
    here = getattr(numpy, method)(*args, **settings)
    assert there.tobytes() == here.tobytes()


@pytest.mark.parametrize("op", ["gemm", "affine"])
def test_float32_is_not_rounded_to_tf32(op: str, backend: Subject) -> None:
    """tf32 keeps 10 bits of each factor, and would be 1e-4 off where float32 is 1e-7 off."""
    X, W = np.random.default_rng(1).uniform(1, 2, (2, 256, 256)).astype("float32")
    factors = [backend.array(X), backend.array(W)]
    if op == "gemm":
        Y = backend.ops.gemm(*factors, trans2=True)
    else:
        Y = backend.ops.affine(*factors, backend.ops.alloc((256,)))
    exact = X.astype("float64") @ W.T.astype("float64")
    np.testing.assert_allclose(backend.numpy(Y), exact, rtol=5e-6)


def test_results_stay_on_the_device(backend: Subject) -> None:
    ops = backend.ops
    X = ops.asarray(np.ones((4, 3), dtype="float32"))
    for array in (X, ops.relu(X), ops.alloc((2,)), ops.dropout_mask(1, 1, (3,), 0.5), ops.permutation(1, 5)):
        assert triops.ops_of(array) is ops
        ops.synchronize(array)
    ops.synchronize()


def test_an_array_of_the_host_is_copied_only_when_asked(backend: Subject) -> None:
    X = np.ones((4, 3), dtype="float32")
    with pytest.raises(ArrayOwnerError, match="X is an array of numpy on cpu:0, but these ops are"):
        backend.ops.relu(X)
    moved = backend.ops.asarray(X)
    X[:] = 2
    assert set(backend.numpy(moved).ravel().tolist()) == {1.0}


def test_arrays_move_between_frameworks() -> None:
    found = [get_ops(name, device) for name, device in cuda_devices().items()]
    if len(found) < 2:
        pytest.skip("; ".join(why_no_cuda(name) for name in CUDA if name not in cuda_devices()))
    X: Any = np.arange(6, dtype="float32").reshape(2, 3)
    for source in found:
        for target in found:
            array = target.asarray(source.asarray(X))
            assert triops.ops_of(array) is target
            np.testing.assert_array_equal(target.to_numpy(array), X)


def test_gpu_is_chosen_where_there_is_one() -> None:
    name = next(iter(cuda_devices()))
    assert get_ops("gpu").name == get_ops("auto").name == name
    with triops.use_ops("gpu") as ops:
        assert triops.get_current_ops() is ops
