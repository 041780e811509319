"""SparseLinear beside Thinc's, and with wrong data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.samples import NO, floats
from triops import Ops, to_numpy
from triops.errors import DTypeError, ShapeError
from triops.models import SparseLinear

COUNTS = np.array([3, 0, 5, 1], dtype="int32")
LENGTH = 31


def _features(seed: int = 4) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, int(COUNTS.sum()), dtype="uint64")
    return keys, rng.normal(0, 1, len(keys)).astype("float32"), COUNTS


def test_as_thincs(ops: Ops) -> None:
    pytest.importorskip("thinc")
    from thinc.layers.sparselinear import SparseLinear_v2

    features = _features()
    ours, theirs = SparseLinear(NO, LENGTH).initialize(), SparseLinear_v2(NO, LENGTH)
    theirs.initialize()
    W, b = to_numpy(floats(ops, LENGTH, NO)), to_numpy(floats(ops, NO, seed=2))
    for name, array, flat in (("W", W, W.T.reshape(-1)), ("b", b, b)):
        ours.set_param(name, ops.asarray(array))
        theirs.set_param(name, np.array(flat))
    Y, backprop = ours.begin_update(tuple(map(ops.asarray, features)))
    peer, peer_backprop = theirs(features, True)
    np.testing.assert_allclose(to_numpy(Y), peer, rtol=1e-5, atol=1e-6)
    dY = to_numpy(floats(ops, *peer.shape, seed=3))
    assert backprop(ops.asarray(dY)) is None
    peer_backprop(np.array(dY))
    gradient = theirs.get_grad("W").reshape(NO, LENGTH).T
    np.testing.assert_allclose(to_numpy(ours.get_grad("W")), gradient, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_numpy(ours.get_grad("b")), theirs.get_grad("b"), rtol=1e-5, atol=1e-6)


def test_a_loaded_one_says_the_same(ops: Ops) -> None:
    features = tuple(map(ops.asarray, _features()))
    model = SparseLinear(NO, LENGTH).initialize()
    model.set_param("W", floats(ops, LENGTH, NO))
    again = SparseLinear(NO, LENGTH).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(to_numpy(again.predict(features)), to_numpy(model.predict(features)))


def test_wrong_data(ops: Ops) -> None:
    model = SparseLinear(NO, LENGTH).initialize()
    keys, values, lengths = map(ops.asarray, _features())
    with pytest.raises(DTypeError, match=r"^sparselinear: X must be the arrays \(keys, values, lengths\), got"):
        model.predict(keys)
    with pytest.raises(DTypeError, match="values must be a floating array, got int32"):
        model.predict((keys, ops.asarray(np.ones(9, "int32")), lengths))
    with pytest.raises(DTypeError, match="ids must be an array of uint64 or int64, got float32"):
        model.predict((values, values, lengths))
    with pytest.raises(ShapeError, match=r"one for each of the keys, of shape \(9,\), got \(8,\)"):
        model.predict((keys, values[:8], lengths))
    with pytest.raises(ShapeError, match="lengths must add up to the number of rows, 9, got 8"):
        model.predict((keys, values, lengths[:3]))
