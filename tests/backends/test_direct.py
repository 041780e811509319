"""Small arrays on their way to kernels without Python: the same results to the last bit, and everything that is
not plain goes to the method."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import pickle
import sys
from ast import literal_eval
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product
from typing import Any

import numpy as np
import pytest

import triops
from tests.interpreter import run_python
from tests.subject import method_of
from triops import Ops
from triops.errors import DTypeError, ShapeError

pytest.importorskip("numba")

from triops.backends.numpy.compiled import direct
from triops.backends.numpy.compiled.direct import WAYS, WAYS_OF_FEW, compile_direct
from triops.backends.numpy.compiled.plan import Way, before, is_possible

pytestmark = pytest.mark.skipif(not is_possible(), reason="objects of this Python are not laid out so")

LEADING = [(), (1,), (7,), (3, 5), (2, 1, 3)]
ALL = (*WAYS, *WAYS_OF_FEW)
_IDS = [f"{way.op}-{n}" for n, way in enumerate(ALL)]


class Called(Exception):
    """The method was."""


@pytest.fixture(name="ops")
def numpy_ops() -> Ops:
    compile_direct()
    return triops.get_ops("numpy")


class Form:
    """What the calls of a way are."""

    def __init__(self, way: Way) -> None:
        call = way.form.partition(" -> ")[0]
        by_place, *by_name = (part.split() for part in call.split(" * "))
        self.op, self.texts = way.op, [*by_place, *chain(*by_name)]
        # As names and texts in a program are.
        self.names = [sys.intern(text.partition("=")[0]) for text in self.texts[len(by_place) :]]

    def arguments(self, leading: tuple[int, ...] = (3,)) -> list[Any]:
        """Plain ones."""
        rng, args = np.random.default_rng(5), list[Any]()
        sizes = {str(digit): (digit,) for digit in range(9)}
        letters = {
            "N": 4,
            "n": 6,
            "V": 5,
            "T": 9,
            "W": 5,
            "K": 2,
            "C": 3,
            "S": 2,
            "D": 12,
            "M": 40,
            "I": 40,
            "O": 96,
        }
        sizes |= {"*": leading, **{letter: (size,) for letter, size in letters.items()}}
        for text in self.texts:
            value = text.partition("=")[2]
            if ":" in text:
                name, extents, *dtype = text.split(":")
                shape = tuple(size for letter in extents for size in sizes[letter])
                floats = rng.standard_normal(shape).astype(np.float32)
                args.append(rng.integers(0, 2, shape).astype(dtype[0]) if dtype else floats)
                if name == "lengths":
                    args[-1] = np.array([3, 1, 2, 3], dtype[0])
            elif value:
                arg = sizes[value][0] if value in sizes else literal_eval(value)
                args.append(sys.intern(arg) if isinstance(arg, str) else arg)
            else:
                args.append(0.25)
        return args

    def call(self, function: Callable[..., Any], args: Sequence[Any]) -> Any:
        by_place = len(args) - len(self.names)
        return function(*args[:by_place], **dict(zip(self.names, args[by_place:], strict=True)))


def refusing(ops: Ops, way: Way) -> Callable[..., Any]:
    """The direct call alone."""
    method, form = method_of(ops, way.op), Form(way)
    form.call(method, form.arguments())  # the kernel is compiled

    @functools.wraps(method)
    def refuse(*args: Any, **settings: Any) -> Any:
        raise Called(args, settings)

    return before(way, refuse)


def as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("way", ALL, ids=_IDS)
def test_results_are_those_of_the_method(way: Way, ops: Ops) -> None:
    direct, method, form = refusing(ops, way), method_of(ops, way.op), Form(way)
    for leading in LEADING:
        args = form.arguments(leading)
        kept = [np.copy(arg) for arg in args]
        wanted = form.call(method, [copy.copy(arg) for arg in args])  # moments may be updated where they are
        results = form.call(direct, args)
        assert type(results) is type(wanted)
        for one, other in zip(as_tuple(results), as_tuple(wanted), strict=True):
            if other is None:
                assert one is None
                continue
            assert (type(one), one.dtype, one.shape) == (type(other), other.dtype, other.shape)
            assert one.flags.carray
            np.testing.assert_array_equal(one, other)
        changed = [arg for arg, before in zip(args, kept, strict=True) if not np.array_equal(arg, before)]
        assert all(any(arg is result for result in as_tuple(results)) for arg in changed)


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
    "empty": lambda array: array[:0],
    "none": lambda array: None,
}


@pytest.mark.parametrize("way", ALL, ids=_IDS)
def test_what_is_not_plain_goes_to_the_method(way: Way, ops: Ops) -> None:
    direct, form = refusing(ops, way), Form(way)
    args = form.arguments()
    arrays = [n for n, arg in enumerate(args) if isinstance(arg, np.ndarray)]
    for place, (name, change) in product(arrays, UNLIKE.items()):
        given = [*args]
        given[place] = change(args[place])
        with pytest.raises(Called) as called:
            form.call(direct, given)
        by_place, by_name = called.value.args
        assert [*map(id, by_place), *map(id, by_name.values())] == [*map(id, given)], name
    for wrong in ([], args[: len(arrays) - 1], [*args, 0.5, 0.5]):
        with pytest.raises(Called):
            direct(*wrong)
    with pytest.raises(Called) as called:
        direct(*args[:-1], last=args[-1])
    assert called.value.args[1] == {"last": args[-1]}


RESHAPED: dict[str, Callable[[Any], Any]] = {
    "twice as many columns": lambda array: np.concatenate([array, array], axis=-1),
    "twice as many rows": lambda array: np.concatenate([array, array]),
    "one more dimension": lambda array: array[None],
    "one less": lambda array: array.reshape(-1),
}


@pytest.mark.parametrize("way", ALL, ids=_IDS)
def test_what_does_not_fit_goes_to_the_method(way: Way, ops: Ops) -> None:
    direct, method, form = refusing(ops, way), method_of(ops, way.op), Form(way)
    args = form.arguments()
    arrays = [n for n, arg in enumerate(args) if isinstance(arg, np.ndarray)]
    for place, change in product(arrays, RESHAPED.values()):
        given = [*args]
        given[place] = change(args[place])
        try:
            results = form.call(direct, [copy.copy(arg) for arg in given])
        except Called:  # it need not know all that fits
            continue
        for one, other in zip(as_tuple(results), as_tuple(form.call(method, given)), strict=True):
            assert one is other is None or np.array_equal(one, other, equal_nan=True)


WITH_INTEGERS = [way for way in WAYS_OF_FEW if "lengths:" in way.form or "rows:" in way.form]


@pytest.mark.parametrize("way", WITH_INTEGERS, ids=lambda way: way.form)
def test_integers_that_the_op_refuses_go_to_the_method(way: Way, ops: Ops) -> None:
    direct, method, form = refusing(ops, way), method_of(ops, way.op), Form(way)
    args = form.arguments()
    places = [n for n, text in enumerate(form.texts) if text.startswith(("lengths:", "rows:"))]
    for place, wrong in product(places, (-1, 1000)):
        given = [*args]
        given[place] = np.array(args[place])
        given[place].flat[1] = np.array(wrong).astype(given[place].dtype)
        with pytest.raises(ShapeError):
            form.call(method, given)
        with pytest.raises(Called):
            form.call(direct, given)


WITH_NUMBERS = [way for way in ALL if Form(way).texts[-1].isidentifier()]


@pytest.mark.parametrize("way", WITH_NUMBERS, ids=lambda way: way.op)
def test_numbers_are_floats_above_0(way: Way, ops: Ops) -> None:
    direct, form = refusing(ops, way), Form(way)
    args = form.arguments()[:-1]
    for number in (1e-8, 2.5):
        form.call(direct, [*args, number])
    for wrong in (0.0, -1.0, float("nan"), float("inf"), 1, np.float64(1.0), np.float32(1.0), True, "1", None):
        with pytest.raises(Called):
            form.call(direct, [*args, wrong])


def test_arguments_by_name(ops: Ops) -> None:
    ways = {way.op: way for way in ALL}
    X, G = np.ones((2, 3), np.float32), np.ones(3, np.float32)
    norm = refusing(ops, ways["layer_norm"])
    for settings in ({"eps": 1e-5}, {}):
        wanted = method_of(ops, "layer_norm")(X, G, G, **settings)
        for one, other in zip(norm(X, G, G, **settings), wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(norm(X, G, b=G, eps=1e-5)[1], norm(X, G, G, 1e-5)[1])
    for args, others in (
        ((X,), {"b": G, "G": G}),
        ((X, G), {"eps": 1e-5, "b": G}),
        ((X, G, G), {"b": G}),
        ((X, G), {"b": G, "eps": 1e-5, "more": 1}),
    ):
        with pytest.raises(Called):
            norm(*args, **others)
    softmax = refusing(ops, ways["softmax"])
    softmax(X, temperature=2.0)
    for args in ((X, 2.0), (X, -1, 2.0), (X, -1)):
        with pytest.raises(Called):
            softmax(*args)


@pytest.mark.parametrize("way", [way for way in WAYS if way.op == "backprop_maxout"], ids=lambda way: way.form)
def test_objects_are_the_same(way: Way, ops: Ops) -> None:
    direct, args = refusing(ops, way), Form(way).arguments()
    direct(*args[:-1], P=args[-1])
    for other in (args[-1] + 1, float(args[-1]), str(args[-1])):
        with pytest.raises(Called):
            direct(*args[:-1], other)


def test_many_entries_go_to_the_method(ops: Ops) -> None:
    for way in ALL:
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
    for way in ALL:
        direct, form = refusing(ops, way), Form(way)
        args = form.arguments()
        held = [np.dtype(np.float32), np.dtype(np.int32), *(arg for arg in args if isinstance(arg, np.ndarray))]
        counts = [sys.getrefcount(each) for each in held]
        for _ in range(5):
            known = [None, *args]
            results = [
                each for each in as_tuple(form.call(direct, args)) if all(each is not one for one in known)
            ]
            alone = len(set(map(id, results))) == len(results)
            assert [sys.getrefcount(each) for each in results] == [3 if alone else 4] * len(results), way.op
            assert all(each.base is None for each in results), way.op
        del results, known
        with pytest.raises(Called):
            direct(*args, 1, 2, 3)
        assert [sys.getrefcount(each) for each in held] == counts, way.op
    nothing = sys.getrefcount(None)
    way = next(way for way in ALL if " None " in way.form)
    direct, args = refusing(ops, way), Form(way).arguments()
    for _ in range(1000):
        Form(way).call(direct, args)
    assert abs(sys.getrefcount(None) - nothing) < 500


def test_ids_out_of_range_are_an_error_that_keeps_nothing(ops: Ops) -> None:
    ops, table = Ops(ops.backend), np.ones((3, 2), np.float32)
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

    compile_direct()
    ops, X = Loud(triops.get_ops("numpy").backend), np.ones(3, np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(ops.relu(X), X + 1)
        np.testing.assert_array_equal(ops.sigmoid(X), 1 / (1 + np.exp(-X)))
    assert isinstance(ops.sigmoid, type(len))


def test_kernels_for_few_come_from_the_disk_or_after_many_calls() -> None:
    compile_direct("gather")
    ops, table, rows = Ops(triops.get_ops("numpy").backend), np.ones((3, 2), np.float32), np.array([2, 0])
    ops.relu(table)
    ops.gather(table, rows)
    assert isinstance(ops.gather, type(len))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct, "is_cached", lambda dispatcher: False)
        patch.setattr(direct, "_OFTEN", 3)
        ops = Ops(triops.get_ops("numpy").backend)
        for number in range(1, 5):
            ops.gather(table, rows)
            assert isinstance(ops.gather, type(len)) == (number >= 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_of_a_process_that_was_at_it() -> None:
    said = run_python("""
import os, signal, threading
import numpy as np, triops
from triops.backends.numpy.compiled import direct
held, done = threading.Event(), threading.Event()
def hold():
    with direct._lock:
        held.set()
        done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
ops = triops.get_ops("numpy")
child = os.fork()
if child == 0:
    signal.alarm(60)
    ops.relu(np.ones(3, "float32"))
    os._exit(0)
print(os.waitpid(child, 0)[1])
done.set()
""")
    assert said == "0"


def test_threads(ops: Ops) -> None:
    arrays = [np.full((100, 99), n, np.float32) for n in range(8)]  # large enough to let others run meanwhile

    def compute(X: Any) -> Iterator[bool]:
        for _ in range(200):
            yield bool((ops.add(X, ops.relu(X)) == 2 * X).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda X: all(compute(X)), arrays))
