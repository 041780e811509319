"""Lists of arrays as one array, and back: on every backend, against Thinc, and with arguments that are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.subject import Subject
from triops import Padded, Ragged, get_ops
from triops.errors import ArgumentError, DTypeError, ShapeError

COUNTS = ((3, 1, 0, 4), (0,), (5,), (2, 2), (0, 0, 3))


def _list(counts: tuple[int, ...], dtype: str = "float32", shape: tuple[int, ...] = (2,)) -> list[Any]:
    rng = np.random.default_rng(len(counts))
    return [rng.integers(1, 99, (count, *shape)).astype(dtype) for count in counts]


def _same(found: list[Any], wanted: list[Any], backend: Subject) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(backend.numpy(one), other)


@pytest.mark.parametrize(
    ("dtype", "shape"), [("float32", (2,)), ("float64", (2, 3)), ("int64", ()), ("float32", (3, 0))]
)
@pytest.mark.parametrize("counts", COUNTS)
def test_every_list_comes_back(counts: tuple[int, ...], shape: Any, dtype: str, backend: Subject) -> None:
    ops, arrays = backend.ops, _list(counts, dtype, shape)
    given, lengths = [backend.array(array) for array in arrays], ops.asarray(np.array(counts))
    for pad in (0, 2):
        _same(ops.unflatten(ops.flatten(given, pad=pad), lengths, pad=pad), arrays, backend)
    for round_to in (1, 4):
        padded = ops.pad(given, round_to=round_to)
        assert padded.shape[1] % round_to == 0
        _same(ops.unpad(padded, lengths), arrays, backend)
        _same(ops.unpad(padded, list(counts)), arrays, backend)
    padded = ops.list2padded(given)
    _same(ops.padded2list(padded), arrays, backend)
    ragged = ops.padded2ragged(padded)
    _same([ragged.data], [np.concatenate(arrays)], backend)
    assert backend.numpy(ragged.lengths).tolist() == list(counts)
    for order in (None, padded.indices):
        again = ops.ragged2padded(ragged, order)
        for name in ("data", "size_at_t", "lengths", "indices"):
            np.testing.assert_array_equal(
                backend.numpy(getattr(again, name)), backend.numpy(getattr(padded, name))
            )


def test_padding_is_what_its_fields_say(backend: Subject) -> None:
    arrays = _list((2, 0, 3, 2))
    padded = backend.ops.list2padded([backend.array(array) for array in arrays])
    data, sizes, lengths, indices = (
        backend.numpy(getattr(padded, name)) for name in ("data", "size_at_t", "lengths", "indices")
    )
    assert (indices.tolist(), lengths.tolist(), sizes.tolist()) == ([2, 3, 0, 1], [3, 2, 2, 0], [3, 3, 1])
    for column, n in enumerate(indices.tolist()):
        np.testing.assert_array_equal(data[: len(arrays[n]), column], arrays[n])
        assert not data[len(arrays[n]) :, column].any()


def test_an_order_of_ones_own(backend: Subject) -> None:
    ops = backend.ops
    ragged = Ragged(backend.array(np.arange(6.0)), ops.asarray(np.array([2, 2, 2])))
    padded = ops.ragged2padded(ragged, ops.asarray(np.array([1, 2, 0])))
    assert backend.numpy(padded.data).tolist() == [[2.0, 4.0, 0.0], [3.0, 5.0, 1.0]]
    assert backend.numpy(ops.padded2ragged(padded).data).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    uneven = Ragged(ragged.data, ops.asarray(np.array([1, 2, 3])))
    with pytest.raises(ShapeError, match=r"ragged2padded: indices must put the longest first, got .*\[1, 2, 3\]"):
        ops.ragged2padded(uneven, ops.asarray(np.array([0, 1, 2])))
    with pytest.raises(ShapeError, match="ragged2padded: indices must be each number below 3 once"):
        ops.ragged2padded(uneven, ops.asarray(np.array([2, 1, 1])))
    with pytest.raises(ShapeError, match="ragged2padded: lengths must add up to the rows of data, 6, got 4"):
        ops.ragged2padded(Ragged(ragged.data, ops.asarray(np.array([1, 2, 1]))))


def test_as_thinc(backend: Subject) -> None:
    pytest.importorskip("thinc")
    from thinc.backends.numpy_ops import NumpyOps

    arrays, peer = _list((3, 1, 2, 3, 5)), NumpyOps()
    given, ops = [backend.array(array) for array in arrays], backend.ops
    for pad in (0, 1, 3):
        np.testing.assert_array_equal(backend.numpy(ops.flatten(given, pad=pad)), peer.flatten(arrays, pad=pad))
    np.testing.assert_array_equal(backend.numpy(ops.pad(given, 4)), peer.pad(arrays, 4))
    ours, theirs = ops.list2padded(given), peer.list2padded(arrays)
    for name in ("data", "size_at_t", "lengths", "indices"):
        np.testing.assert_array_equal(backend.numpy(getattr(ours, name)), getattr(theirs, name))


def test_no_array(backend: Subject) -> None:
    ops = backend.ops
    assert ops.flatten([]).shape == (0, 0)
    assert ops.unflatten(ops.flatten([]), ops.asarray(np.zeros(0, "int64")), pad=2) == []
    assert ops.list2padded([]).data.shape == (0, 0, 0)
    assert ops.padded2list(ops.list2padded([])) == []
    with pytest.raises(ArgumentError, match="pad: seqs must have at least one array"):
        ops.pad([])


@pytest.mark.parametrize("op", ["flatten", "pad", "list2padded"])
def test_arrays_that_do_not_go_together(op: str, backend: Subject) -> None:
    function, X = getattr(backend.ops, op), backend.array(np.ones((3, 2), "float32"))
    with pytest.raises(ShapeError, match=rf"^{op}: all arrays must have the shape .*, got \(3, 1\) for array 1"):
        function([X, X[:, :1]])
    with pytest.raises(DTypeError, match=rf"^{op}: array 1 is int32 and array 0 is float32"):
        function([X, X.astype("int32")])
    with pytest.raises(DTypeError, match=rf"^{op}: array 0 must be an array of .*, got list"):
        function([[1.0]])


def test_wrong_lengths(backend: Subject) -> None:
    ops, X = backend.ops, backend.array(np.ones((3, 2), "float32"))
    with pytest.raises(ShapeError, match=r"unflatten: lengths, with pad 1, .* rows of X, 3, got 5"):
        ops.unflatten(X, ops.asarray(np.array([1, 1])), pad=1)
    with pytest.raises(ShapeError, match="unflatten: lengths must all be 0 or more, got -1"):
        ops.unflatten(X, ops.asarray(np.array([4, -1])))
    with pytest.raises(ShapeError, match="unflatten: lengths must all be 0 or more, got -2"):
        ops.unflatten(X, [5, -2])
    with pytest.raises(ShapeError, match="unpad: lengths must be from 0 to 2, got 3"):
        ops.unpad(X, [1, 3, 2])
    with pytest.raises(ShapeError, match="unpad: lengths must be 3, one for each sequence, got 1"):
        ops.unpad(X, [1])
    for op in (ops.flatten, lambda Xs, pad: ops.unflatten(Xs[0], ops.asarray(np.array([3])), pad)):
        with pytest.raises(ArgumentError, match="pad must be 0 or more, got -1"):
            op([X], -1)
    with pytest.raises(ArgumentError, match="pad: round_to must be 1 or more, got 0"):
        ops.pad([X], round_to=0)


def test_padded_and_ragged_check_their_shapes(backend: Subject) -> None:
    ops = backend.ops
    X, two = backend.array(np.ones((3, 2), "float32")), ops.asarray(np.array([1, 0]))
    assert len(Ragged(X, two)) == 2
    with pytest.raises(
        DTypeError, match=r"Ragged: lengths must be an array, got list: convert it with ops.asarray"
    ):
        Ragged(X, [1, 2])  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="Ragged: lengths must be integers, got float32"):
        Ragged(X, X[0])
    with pytest.raises(ShapeError, match="Ragged: lengths must have 1 dimension"):
        Ragged(X, X)
    with pytest.raises(ShapeError, match="Ragged: data must have 1 dimension or more"):
        Ragged(X[0, 0], two)
    with pytest.raises(ShapeError, match="Ragged: lengths must add up to the rows of data, 3, got none"):
        Ragged(X, two[:0])
    with pytest.raises(ShapeError, match=r"Padded: size_at_t must have shape \(3,\)"):
        Padded(X, two, two, two)
    twice = Padded(X, ops.asarray(np.array([1, 1, 1])), ops.asarray(np.array([3, 0])), two * 0)
    with pytest.raises(ShapeError, match="padded2list: indices must be each number below 2 once"):
        ops.padded2list(twice)


def test_padded_lists_while_compiling() -> None:
    jax = pytest.importorskip("jax")
    ops = get_ops("jax")
    arrays = [ops.asarray(array) for array in _list((2, 3))]
    for op in (ops.flatten, ops.pad, lambda arrays: ops.list2padded(arrays).data):
        np.testing.assert_array_equal(jax.jit(op)(arrays), op(arrays))
    with pytest.raises(ArgumentError, match="unflatten: lengths must be known"):
        jax.jit(ops.unflatten)(ops.flatten(arrays), ops.asarray(np.array([2, 3])))
