"""Every row of the table of op cases on every backend: results against the oracle, gradients against finite
differences, arguments untouched, errors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tests.ops.cases import CASES, OpCase, Sample
from tests.subject import Subject, foreign_array
from triops import Ops, ops_of
from triops.errors import ArrayOwnerError, DTypeError

each_op = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_with_arrays = pytest.mark.parametrize(
    "case", [case for case in CASES.values() if case.array_places()], ids=lambda case: case.op
)
each_gradient = pytest.mark.parametrize(
    ("case", "label"),
    [(case, label) for case in CASES.values() for label in case.gradients],
    ids=lambda value: getattr(value, "op", value),
)


@each_op
def test_result_is_the_oracles(case: OpCase, backend: Subject) -> None:
    for label, sample in case.drawn().items():
        for dtype in _dtypes(sample, backend):
            where = f"{case.op}, {label}, {dtype}, {backend.name}"
            args = _given(sample, dtype, backend)
            settings = dict(sample.settings) | ({"dtype": dtype} if case.takes_dtype else {})
            before = [_bits(arg, backend) for arg in args]
            with _complaints(sample):
                results = _as_tuple(getattr(backend.ops, case.op)(*args, **settings))
                expected = _as_tuple(case.oracle(*_rounded(sample, dtype), **sample.settings))
            assert len(results) == len(expected), where
            for result, oracle in zip(results, expected, strict=True):
                _check_result(result, np.asarray(oracle), dtype, case, backend, where)
            _check_unchanged(args, before, case, backend, where)


@each_gradient
def test_gradient_is_the_slope(case: OpCase, label: str, backend: Subject) -> None:
    gradient, ops = case.gradients[label], backend.ops
    inputs = [backend.array(array) for array in gradient.inputs]
    Y = backend.numpy(gradient.forward(ops, *inputs))
    dY = np.random.default_rng(0).normal(0, 1, Y.shape)
    results = gradient.backprop(ops, backend.array(dY), *inputs)
    assert len(results) == len(inputs)

    def along(place: int, array: Any) -> Any:
        others = list(inputs)
        others[place] = backend.array(array)
        return backend.numpy(gradient.forward(ops, *others))

    for place, (result, array) in enumerate(zip(results, gradient.inputs, strict=True)):
        slopes = np.zeros(array.shape)
        for index in np.ndindex(*array.shape):
            slopes[index] = np.sum(dY * _slope(along, place, array, index))
        assert np.abs(slopes).max() > 0.01, "nothing to compare"
        assert result.dtype == "float64"
        np.testing.assert_allclose(backend.numpy(result), slopes, rtol=1e-8, atol=1e-9)


@each_op
def test_bad_calls_raise(case: OpCase, backend: Subject) -> None:
    assert case.bad_calls
    for bad in case.bad_calls:
        if bad.looks_at_values and not backend.ops.backend.reads_host_memory:
            continue
        args = [backend.array(arg) if isinstance(arg, np.ndarray) else arg for arg in bad.args]
        with pytest.raises(bad.raises, match=rf"^{case.op}: .*{bad.match}"):
            getattr(backend.ops, case.op)(*args, **bad.settings)


@each_with_arrays
def test_lists_raise(case: OpCase, backend: Subject) -> None:
    for name, place, args in _array_arguments(case, backend):
        args[place] = [1.0, 2.0]
        wrong = rf"{name} must be an array of .*, got list: convert"
        if case.takes_lists and place == 0:
            wrong = r"\w+ must be a list, as \w+ is|\w+\[0\] must be an array of .*, got float"
        with pytest.raises(DTypeError, match=rf"^{case.op}: ({wrong})"):
            getattr(backend.ops, case.op)(*args)


@each_with_arrays
def test_arrays_of_another_backend_raise(case: OpCase, backend: Subject) -> None:
    foreign = foreign_array(backend)
    owner, ops = ops_of(foreign), backend.ops
    message = (
        f"is an array of {owner.name} on {owner.device}, but these ops are {ops.name} on {ops.device}: "
        r"convert it with ops.asarray\(...\), or use the ops that own it"
    )
    for name, place, args in _array_arguments(case, backend):
        args[place] = foreign
        with pytest.raises(ArrayOwnerError, match=rf"^{case.op}: {name} {message}"):
            getattr(backend.ops, case.op)(*args)


def _dtypes(sample: Sample, backend: Subject) -> Iterator[str]:
    for dtype in sample.dtypes:
        if dtype != "bfloat16" or backend.ops.name == "jax":
            yield dtype


def _rounded(sample: Sample, dtype: str) -> list[Any]:
    """The sample's arguments in the values that the op gets, but in float64."""
    return [arg.astype(dtype).astype("float64") if _is_floating(arg) else arg for arg in sample.args]


def _given(sample: Sample, dtype: str, backend: Subject) -> list[Any]:
    """The sample's arguments as arrays of the backend, laid out as the sample says."""
    args = []
    for position, arg in enumerate(sample.args):
        if isinstance(arg, np.ndarray):
            arg = sample.layout(arg.astype(dtype) if _is_floating(arg) else arg, position)
            arg = backend.array(arg)
        args.append(arg)
    return args


def _check_result(result: Any, oracle: Any, dtype: str, case: OpCase, backend: Subject, where: str) -> None:
    owner = ops_of(result)
    assert (owner.name, owner.device) == (backend.ops.name, backend.ops.device), where
    assert tuple(result.shape) == oracle.shape, where
    array = backend.numpy(result)
    if not _is_floating(oracle):
        assert result.dtype == oracle.dtype, where
        np.testing.assert_array_equal(array, oracle, err_msg=where)
        return
    assert result.dtype == dtype, where
    tolerance = case.tolerance(dtype)
    np.testing.assert_allclose(
        array.astype("float64"),
        oracle,
        rtol=tolerance.relative,
        atol=tolerance.absolute,
        equal_nan=True,
        err_msg=where,
    )


def _check_unchanged(args: list[Any], before: list[Any], case: OpCase, backend: Subject, where: str) -> None:
    for position, (arg, bits) in enumerate(zip(args, before, strict=True)):
        if position in case.donated and _may_be_consumed(arg, backend):
            continue
        assert _bits(arg, backend) == bits, f"{where}: argument {position} changed"


def _may_be_consumed(arg: Any, backend: Subject) -> bool:
    if backend.name == "numpy":
        return not backend.read_only and arg.dtype == "float32"  # compiled kernels update moments in place
    return not backend.ops.backend.reads_host_memory or (hasattr(arg, "is_deleted") and arg.is_deleted())


def _bits(arg: Any, backend: Subject) -> Any:
    """All the memory behind an array, so that a stray write between its strides shows too."""
    if not hasattr(arg, "dtype"):
        return arg
    array = backend.numpy(arg)
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.tobytes()


@contextmanager
def _complaints(sample: Sample) -> Iterator[None]:
    """Finite numbers must neither overflow nor divide by zero on the way; others may do as they like."""
    how = "raise" if sample.finite else "ignore"
    with np.errstate(over=how, divide=how, invalid=how):
        yield


def _slope(function: Any, place: int, array: Any, index: tuple[int, ...]) -> Any:
    """The central difference of fourth order."""
    h = 1e-3

    def at(steps: int) -> Any:
        moved = array.copy()
        moved[index] += steps * h
        return function(place, moved)

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


def _array_arguments(case: OpCase, backend: Subject) -> Iterator[tuple[str, int, list[Any]]]:
    """Each argument that takes an array: its name, its place, and good arguments to spoil."""
    names = list(inspect.signature(getattr(Ops, case.op)).parameters)[1:]
    sample = case.drawn()["typical"]
    for place in case.array_places():
        yield names[place], place, _given(sample, "float32", backend)


def _is_floating(arg: Any) -> bool:
    return isinstance(arg, np.ndarray) and arg.dtype == "float64"


def _as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)
