"""Where an op has Thinc's name it has Thinc's meaning; where Thinc is inexact, ours is nearer to float64."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from tests.ops.cases.activations import ACTIVATIONS, elementwise
from tests.ops.cases.recurrent import parameter_count, sizes_of, slopes
from tests.subject import ops_or_skip
from triops import get_ops

# Thinc's own figures, on its CPU ops, for |X| up to 12: its erf is an approximation to seven digits, and the
# constants in its gradient of gelu_approx have six.
SEVEN_DIGITS = {"gelu": 5e-7, "backprop_gelu": 1e-6, "backprop_gelu_approx": 4e-6}
SHARED = [name for name in ACTIVATIONS if name not in ("tanh", "softplus", "elu")]


@pytest.fixture(scope="module")
def thinc_ops() -> Any:
    pytest.importorskip("thinc")
    from thinc.backends.numpy_ops import NumpyOps

    return NumpyOps()


def _X() -> Any:
    return np.linspace(-12, 12, 303).reshape(3, 101)


@pytest.mark.parametrize("name", SHARED)
def test_activation_as_thinc(name: str, thinc_ops: Any) -> None:
    ours, theirs = getattr(get_ops("numpy"), name)(_X()), getattr(thinc_ops, name)(_X())
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=SEVEN_DIGITS.get(name, 1e-13))


@pytest.mark.parametrize("name", SHARED)
def test_gradient_as_thinc(name: str, thinc_ops: Any) -> None:
    row, op = ACTIVATIONS[name], f"backprop_{name}"
    X = _X()
    dY = np.random.default_rng(1).normal(0, 1, X.shape)
    saved = X if row.reads == "X" else elementwise(row.forward)(X)
    peer = getattr(thinc_ops, op)
    extra = (
        (elementwise(row.forward)(X),) if "Y" in inspect.signature(peer).parameters and row.reads == "X" else ()
    )
    ours, theirs = getattr(get_ops("numpy"), op)(dY, saved), peer(dY, saved, *extra)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=SEVEN_DIGITS.get(op, 1e-13))


@pytest.mark.parametrize(("dtype", "closer"), [("float64", 1e6), ("float32", 2)])
def test_gradient_of_gelu_approx_is_nearer_than_thincs(dtype: str, closer: float, thinc_ops: Any) -> None:
    X = _X().astype(dtype)
    dY = np.ones_like(X)
    exact = elementwise(ACTIVATIONS["gelu_approx"].gradient)(dY.astype("float64"), X.astype("float64"))
    ours = abs(get_ops("numpy").backprop_gelu_approx(dY, X) - exact).max()
    theirs = abs(thinc_ops.backprop_gelu_approx(dY, X) - exact).max()
    assert theirs > 1e-7
    assert ours * closer < theirs


def test_softmax_as_thinc(thinc_ops: Any) -> None:
    X, dY = np.random.default_rng(2).normal(0, 3, (2, 5, 7))
    ops = get_ops("numpy")
    Y = ops.softmax(X)
    np.testing.assert_allclose(Y, thinc_ops.softmax(X), rtol=1e-12)
    np.testing.assert_allclose(
        ops.backprop_softmax(Y, dY), thinc_ops.backprop_softmax(Y, dY), rtol=1e-10, atol=1e-15
    )


def test_softmax_sequences_as_thinc(thinc_ops: Any) -> None:
    lengths = np.array([0, 3, 1, 0, 40, 2, 0], dtype="int32")
    X, dY = np.random.default_rng(12).normal(0, 4, (2, 46, 5))
    ops = get_ops("numpy")
    Y = ops.softmax_sequences(X, lengths)
    np.testing.assert_allclose(Y, thinc_ops.softmax_sequences(X, lengths), rtol=1e-12)
    ours, theirs = (peer.backprop_softmax_sequences(dY, Y, lengths) for peer in (ops, thinc_ops))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-15)


def test_softmax_sequences_does_not_stop_at_20(thinc_ops: Any) -> None:
    """Thinc clips X to ±20, and so gives 30 and 40 equal shares."""
    X, lengths = np.array([[30.0], [40.0]]), np.array([2], dtype="int32")
    assert thinc_ops.softmax_sequences(X, lengths)[1, 0] == 0.5
    assert get_ops("numpy").softmax_sequences(X, lengths)[0, 0] == pytest.approx(1 / (1 + np.exp(10)), rel=1e-12)


def test_maxout_as_thinc(thinc_ops: Any) -> None:
    X = np.random.default_rng(3).normal(0, 1, (5, 4, 3)).astype("float32")
    dY = np.random.default_rng(4).normal(0, 1, (5, 4)).astype("float32")
    ops = get_ops("numpy")
    best, which = ops.maxout(X)
    their_best, their_which = thinc_ops.maxout(X)
    np.testing.assert_array_equal(best, their_best)
    np.testing.assert_array_equal(which, their_which)
    np.testing.assert_array_equal(
        ops.backprop_maxout(dY, which, 3), thinc_ops.backprop_maxout(dY, their_which, 3)
    )


def test_scatter_add_as_thinc(thinc_ops: Any) -> None:
    table, values = np.random.default_rng(5).normal(0, 1, (2, 6, 4)).astype("float32")
    indices = np.array([0, 5, 5, 2, 0, 5], dtype="int32")
    theirs = table.copy()
    thinc_ops.scatter_add(theirs, indices, values)
    np.testing.assert_allclose(get_ops("numpy").scatter_add(table, indices, values), theirs, rtol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
@pytest.mark.parametrize("seed", [0, 1, 7, 2**32 - 1])
def test_hash_as_thinc(backend: str, seed: int, thinc_ops: Any) -> None:
    ops = ops_or_skip(backend)
    ids = np.concatenate([_keys(1001), np.array([0, 1, 2**32, 2**63, 2**64 - 1], dtype="uint64")])
    np.testing.assert_array_equal(ops.to_numpy(ops.hash(ops.asarray(ids), seed)), thinc_ops.hash(ids, seed))


@pytest.mark.parametrize("backend", ["numpy", "jax"])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 40])
def test_ngrams_as_thinc(backend: str, n: int, thinc_ops: Any) -> None:
    ops, keys = ops_or_skip(backend), _keys(33)
    np.testing.assert_array_equal(ops.to_numpy(ops.ngrams(n, ops.asarray(keys))), thinc_ops.ngrams(n, keys))


def test_gather_add_as_thinc(thinc_ops: Any) -> None:
    rng = np.random.default_rng(7)
    table, indices = rng.normal(0, 1, (6, 5)).astype("float32"), rng.integers(0, 6, (9, 4)).astype("int32")
    np.testing.assert_allclose(
        get_ops("numpy").gather_add(table, indices), thinc_ops.gather_add(table, indices), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(("N", "D", "period"), [(50, 8, 10000), (9, 7, 100), (3, 1, 10000)])
def test_position_encode_as_thinc(N: int, D: int, period: int, thinc_ops: Any) -> None:
    ours, theirs = get_ops("numpy").position_encode(N, D, period), thinc_ops.position_encode(N, D, period)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_logloss_as_thinc(thinc_ops: Any) -> None:
    y_true, y_pred = np.random.default_rng(8).uniform(0, 1, (2, 5, 3)).astype("float32")
    np.testing.assert_allclose(
        get_ops("numpy").logloss(y_true, y_pred), thinc_ops.logloss(y_true, y_pred), rtol=1e-6
    )


def _keys(count: int) -> Any:
    return np.random.default_rng(6).integers(0, 2**64, count, dtype="uint64")


LENGTHS = np.array([3, 1, 40, 2], dtype="int32")


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_mean"])
def test_sum_and_mean_as_thinc(name: str, thinc_ops: Any) -> None:
    lengths = np.array([0, 3, 1, 0, 40, 2, 0], dtype="int32")
    X = np.random.default_rng(6).normal(0, 1, (46, 5))
    dY = np.random.default_rng(7).normal(0, 1, (7, 5))
    ops = get_ops("numpy")
    ours, theirs = getattr(ops, name)(X, lengths), getattr(thinc_ops, name)(X, lengths)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    ours, theirs = (getattr(peer, f"backprop_{name}")(dY, lengths) for peer in (ops, thinc_ops))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", ["reduce_max", "reduce_first", "reduce_last"])
def test_chosen_rows_as_thinc(name: str, thinc_ops: Any) -> None:
    X = np.random.default_rng(8).integers(0, 9, (46, 5)).astype("float64")
    dY = np.random.default_rng(9).normal(0, 1, (4, 5))
    ops, counts = get_ops("numpy"), (LENGTHS,) if name == "reduce_max" else ()
    (ours, state), (theirs, their_state) = (getattr(peer, name)(X, LENGTHS) for peer in (ops, thinc_ops))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(state, their_state)
    ours, theirs = (getattr(peer, f"backprop_{name}")(dY, state, *counts) for peer in (ops, thinc_ops))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("nW", [0, 1, 2, 5])
def test_seq2col_as_thinc(nW: int, lengths: Any, thinc_ops: Any) -> None:
    X = np.random.default_rng(10).normal(0, 1, (46, 3))
    dY = np.random.default_rng(11).normal(0, 1, (46, 3 * (2 * nW + 1)))
    ops = get_ops("numpy")
    np.testing.assert_array_equal(ops.seq2col(X, nW, lengths), thinc_ops.seq2col(X, nW, lengths=lengths))
    ours, theirs = (peer.backprop_seq2col(dY, nW, lengths=lengths) for peer in (ops, thinc_ops))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_sigmoid_does_not_stop_at_20(thinc_ops: Any) -> None:
    """Thinc clips X to ±20, which leaves a gradient of 2e-9 where there is almost none."""
    X = np.array([-30.0])
    assert thinc_ops.sigmoid(X)[0] == pytest.approx(2e-9, rel=0.1)
    assert get_ops("numpy").sigmoid(X)[0] == pytest.approx(np.exp(-30.0), rel=1e-12)


@pytest.mark.parametrize("lengths", [(5,), (3, 3), (4, 2, 3)])
@pytest.mark.parametrize(("depth", "dirs"), [(1, 1), (1, 2), (3, 2)])
def test_lstm_as_thinc(lengths: tuple[int, ...], depth: int, dirs: int, thinc_ops: Any) -> None:
    params, H0, C0, X, sizes = _lstm(lengths, depth, dirs)
    ours = get_ops("numpy").lstm_forward_inference(params, H0, C0, X, sizes)
    # Thinc takes H0 for the cells, and C0 for the hidden states.
    np.testing.assert_allclose(
        ours, thinc_ops.lstm_forward_inference(params, C0, H0, X, sizes), rtol=1e-5, atol=1e-6
    )
    assert abs(ours - thinc_ops.lstm_forward_inference(params, H0, C0, X, sizes)).max() > 0.01


@pytest.mark.parametrize("lengths", [(1,), (5,), (3, 3)])
def test_thincs_lstm_has_other_gradients(lengths: tuple[int, ...], thinc_ops: Any) -> None:
    """Thinc's are not those of its own forward pass: it leaves out the first step, and the second bias, and its
    other numbers are wrong too."""
    params, H0, C0, X, sizes = _lstm(lengths, 1, 1)
    H0, C0, ops = 0 * H0, 0 * C0, get_ops("numpy")
    Y, state = ops.lstm_forward_training(params, H0, C0, X, sizes)
    _, their_state = thinc_ops.lstm_forward_training(params, H0, C0, X, sizes)
    dY = np.random.default_rng(13).normal(0, 1, Y.shape).astype("float32")
    exact = slopes("lstm", dY, sizes, params.astype("float64"), (H0, C0), X)
    ours = ops.backprop_lstm(dY, sizes, params, state)
    theirs = thinc_ops.backprop_lstm(dY.copy(), sizes, params, their_state)
    for our, slope in zip(ours, exact, strict=True):
        np.testing.assert_allclose(our, slope, rtol=1e-4, atol=1e-5)
    for their, slope in zip(theirs, exact[:2], strict=True):
        assert abs(their - slope).max() > 0.02
    assert not theirs[1][-8:].any()
    assert theirs[0].any() == (lengths != (1,))


def _lstm(lengths: tuple[int, ...], depth: int, dirs: int) -> tuple[Any, ...]:
    sizes = sizes_of(*lengths, dtype="int32")
    rng, count = np.random.default_rng(12), parameter_count("lstm", depth, dirs, 2, 3)
    shapes = ((count,), (depth, dirs, 2), (depth, dirs, 2), (int(sizes.sum()), 3))
    return *(rng.normal(0, 1, shape).astype("float32") for shape in shapes), sizes
