"""Small arrays on their way to kernels without Python: the same results to the last bit, and everything that is
not plain goes to the method."""

from __future__ import annotations

import functools
import inspect
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import triops
from triops import Ops
from triops.errors import DTypeError, ShapeError

pytest.importorskip("numba")

from triops.backends.numpy.compiled.direct import WAYS, compile_entry
from triops.backends.numpy.compiled.plan import Way, before, is_possible

pytestmark = pytest.mark.skipif(not is_possible(), reason="objects of this Python are not laid out so")

LEADING = [(), (1,), (7,), (3, 5), (2, 1, 3)]
_IDS = [f"{way.op}-{n}" for n, way in enumerate(WAYS)]


class Called(Exception):
    """The method was."""


@pytest.fixture(name="ops")
def numpy_ops() -> Ops:
    compile_entry()
    return triops.get_ops("numpy")


def method_of(ops: Ops, name: str) -> Callable[..., Any]:
    return getattr(type(ops), name).__get__(ops)  # type: ignore[no-any-return]


def refusing(ops: Ops, way: Way) -> Callable[..., Any]:
    """The direct call alone."""
    method = method_of(ops, way.op)
    method(*arguments(way))  # the kernel is compiled

    @functools.wraps(method)
    def refuse(*args: Any, **settings: Any) -> Any:
        raise Called(args, settings)

    return before(way, refuse)


def texts_of(way: Way) -> list[str]:
    return way.form.partition(" -> ")[0].split()


def arguments(way: Way, leading: tuple[int, ...] = (3,)) -> list[Any]:
    """What the form of a way takes, with all numbers."""
    rng, args = np.random.default_rng(5), list[Any]()
    for text in texts_of(way):
        if ":" in text:
            _, extents, *dtype = text.split(":")
            sizes = {"*": leading, "N": (4,), "n": (6,), "V": (5,)}
            known = {str(digit): (digit,) for digit in range(9)} | sizes
            shape = tuple(size for letter in extents for size in known[letter])
            floats = rng.standard_normal(shape).astype(np.float32)
            args.append(rng.integers(0, 2, shape).astype(dtype[0]) if dtype else floats)
        elif "=" in text:
            args.append(int(text.partition("=")[2]))
        else:
            args.append(0.25)
    return args


def as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("way", WAYS, ids=_IDS)
def test_results_are_those_of_the_method(way: Way, ops: Ops) -> None:
    direct, method = refusing(ops, way), method_of(ops, way.op)
    for leading in LEADING:
        args = arguments(way, leading)
        kept = [np.copy(arg) for arg in args]
        wanted, results = method(*args), direct(*args)
        assert type(results) is type(wanted)
        for one, other in zip(as_tuple(results), as_tuple(wanted), strict=True):
            assert (type(one), one.dtype, one.shape) == (type(other), other.dtype, other.shape)
            assert one.flags.carray
            np.testing.assert_array_equal(one, other)
        for arg, copy in zip(args, kept, strict=True):
            np.testing.assert_array_equal(arg, copy)


def _strided(array: Any) -> Any:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def _read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


def _misaligned(array: Any) -> Any:
    memory = np.zeros(array.nbytes + 1, np.uint8)
    other = memory[1:].view(array.dtype).reshape(array.shape)
    other[...] = array
    return other


class _Subclass(np.ndarray):
    pass


UNLIKE: dict[str, Callable[[Any], Any]] = {
    "strided": _strided,
    "read-only": _read_only,
    "misaligned": _misaligned,
    "other dtype": lambda array: array.astype(np.float64),
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "subclass": lambda array: array.view(_Subclass),
    "list": lambda array: array.tolist(),
    "one more column": lambda array: np.concatenate([array, array], axis=-1),
    "one more dimension": lambda array: array[None],
    "empty": lambda array: array[:0],
    "none": lambda array: None,
}


@pytest.mark.parametrize("way", WAYS, ids=_IDS)
def test_what_is_not_plain_goes_to_the_method(way: Way, ops: Ops) -> None:
    direct, args = refusing(ops, way), arguments(way)
    arrays = [n for n, arg in enumerate(args) if isinstance(arg, np.ndarray)]
    for place in arrays:
        shape_is_free = (
            len(arrays) == 1 or way.op == "gather" or (place == 0 and way.op in ("layer_norm", "rms_norm"))
        )
        for name, change in UNLIKE.items():
            given = [*args]
            given[place] = change(args[place])
            if shape_is_free and name in ("one more column", "one more dimension"):
                continue
            with pytest.raises(Called) as called:
                direct(*given)
            assert [*map(id, called.value.args[0])] == [*map(id, given)], name
    for given in (args[:-1] if way.op != "elu" else [], [*args, 0.5], []):
        if not _may_be_left_out(way, len(given)):
            with pytest.raises(Called):
                direct(*given)
    with pytest.raises(Called) as called:
        direct(*args[:-1], last=args[-1])
    assert called.value.args[1] == {"last": args[-1]}


def _may_be_left_out(way: Way, count: int) -> bool:
    """Whether a call with so many arguments is of the form: a number at the end may have a default."""
    texts = texts_of(way)
    parameters = list(inspect.signature(getattr(Ops, way.op)).parameters.values())[1:]
    return len(texts) > count >= len([text for text in texts if ":" in text or "=" in text]) and all(
        parameter.default is not parameter.empty for parameter in parameters[count : len(texts)]
    )


@pytest.mark.parametrize("way", [way for way in WAYS if texts_of(way)[-1].isidentifier()], ids=lambda way: way.op)
def test_numbers_are_floats_from_0_on(way: Way, ops: Ops) -> None:
    direct, args = refusing(ops, way), arguments(way)
    for number in (0.0, 2.5, float("inf")):
        direct(*args[:-1], number)
    for number in (-1.0, float("nan"), 1, np.float64(1.0), np.float32(1.0), True, "1", None):
        with pytest.raises(Called):
            direct(*args[:-1], number)


@pytest.mark.parametrize(
    "way", [way for way in WAYS if "=" in way.form.partition(" -> ")[0]], ids=lambda way: way.op
)
def test_objects_are_the_same(way: Way, ops: Ops) -> None:
    direct, args = refusing(ops, way), arguments(way)
    for other in (args[-1] + 1, float(args[-1]), str(args[-1])):
        with pytest.raises(Called):
            direct(*args[:-1], other)


def test_many_entries_go_to_the_method(ops: Ops) -> None:
    for way in WAYS:
        if way.form.startswith("X:* -> "):
            direct, threshold = refusing(ops, way), way.kernel.threshold
            direct(np.zeros(threshold - 1, np.float32))
            with pytest.raises(Called):
                direct(np.zeros(threshold, np.float32))


def test_many_rows_go_to_the_method(ops: Ops) -> None:
    (way,) = (way for way in WAYS if way.op == "backprop_rms_norm")
    direct, G = refusing(ops, way), np.ones(2, np.float32)
    for rows, fits in ((way.rows - 1, True), (way.rows, False)):
        X, rstd = np.ones((rows, 2), np.float32), np.ones((rows, 1), np.float32)
        if fits:
            direct(X, X, rstd, G)
        else:
            with pytest.raises(Called):
                direct(X, X, rstd, G)


def test_nothing_is_held_or_lost(ops: Ops) -> None:
    for way in WAYS:
        direct, args = refusing(ops, way), arguments(way)
        held = [np.dtype(np.float32), np.dtype(np.int32), *(arg for arg in args if isinstance(arg, np.ndarray))]
        counts = [sys.getrefcount(each) for each in held]
        for _ in range(5):
            results = as_tuple(direct(*args))
            assert [sys.getrefcount(results[n]) for n in range(len(results))] == [2] * len(results), way.op
            assert all(each.base is None for each in results), way.op
        del results
        with pytest.raises(Called):
            direct(*args, 1, 2, 3)
        assert [sys.getrefcount(each) for each in held] == counts, way.op


def test_ids_out_of_range_are_an_error_that_keeps_nothing(ops: Ops) -> None:
    table = np.ones((3, 2), np.float32)
    for _ in range(3):
        assert ops.gather(table, np.array([0, 2])).shape == (2, 2)
        for wrong in (3, -1):
            with pytest.raises(ShapeError, match=f"gather: indices must be from 0 to 2.*got {wrong}"):
                ops.gather(table, np.array([0, wrong]))
    assert isinstance(ops.gather, type(len))


def test_it_looks_as_the_method_does(ops: Ops) -> None:
    X = np.ones((2, 3), np.float32)
    for op in ("relu", "layer_norm", "maxout"):
        args = (X, X[0], X[0]) if op == "layer_norm" else (X,)
        getattr(ops, op)(*args)
        direct, method = getattr(ops, op), method_of(ops, op)
        assert isinstance(direct, type(len))
        assert direct.__name__ == op
        assert inspect.getdoc(direct) == inspect.getdoc(method)
        parameters = inspect.signature(method).parameters.values()
        assert [*inspect.signature(direct).parameters.values()] == [
            each.replace(annotation=each.empty) for each in parameters
        ]
        again = pickle.loads(pickle.dumps(direct))
        np.testing.assert_array_equal(as_tuple(again(*args))[0], as_tuple(method(*args))[0])
    with pytest.raises(DTypeError, match="relu: X must be a floating array, got int64"):
        ops.relu(np.arange(3))
    np.testing.assert_array_equal(ops.relu(X=X), X)


def test_a_class_made_of_ops_keeps_its_methods() -> None:
    class Loud(Ops):
        def relu(self, X: Any) -> Any:
            return super().relu(X) + 1

    compile_entry()
    ops, X = Loud(triops.get_ops("numpy").backend), np.ones(3, np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(ops.relu(X), X + 1)
        np.testing.assert_array_equal(ops.sigmoid(X), 1 / (1 + np.exp(-X)))
    assert isinstance(ops.sigmoid, type(len))


def test_threads(ops: Ops) -> None:
    arrays = [np.full((100, 99), n, np.float32) for n in range(8)]  # large enough to let others run meanwhile

    def compute(X: Any) -> Iterator[bool]:
        for _ in range(200):
            yield bool((ops.add(X, ops.relu(X)) == 2 * X).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda X: all(compute(X)), arrays))
