"""HashEmbed beside Thinc's, with ids of every width, and saved with its seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.samples import NO, N, floats, ids, ops_or_skip, params_of
from triops import Model, Ops, Ragged, models, to_numpy
from triops.errors import ArgumentError, DTypeError, ShapeError
from triops.models import HashEmbed, HashEmbedBag, chain, with_array

EDGES = np.array([0, 1, 5, 5, 2**32, 2**63, 2**64 - 1], dtype="uint64")


def test_output_and_gradient_as_thincs(ops: Ops) -> None:
    pytest.importorskip("thinc")
    from thinc.api import HashEmbed as Peer
    from thinc.api import use_ops as use_their_ops

    model = HashEmbed(4, 11, seed=7).initialize()
    with use_their_ops("numpy"):
        peer = Peer(4, 11, seed=7).initialize()
    peer.set_param("E", params_of(model)[0].copy())
    (Y, backprop), (their_Y, their_backprop) = model.begin_update(ops.asarray(EDGES)), peer.begin_update(EDGES)
    np.testing.assert_allclose(to_numpy(Y), their_Y, rtol=1e-6, atol=1e-7)
    dY = floats(ops, len(EDGES), 4)
    assert backprop(dY) is None
    their_backprop(to_numpy(dY).copy())
    np.testing.assert_allclose(to_numpy(model.get_grad("E")), peer.get_grad("E"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64"])
def test_the_width_of_an_id_changes_nothing(dtype: str, ops: Ops) -> None:
    model = HashEmbed(4, 11, seed=7).initialize()
    small = np.array([0, 1, 100, 7], dtype="uint64")
    wide, narrow = (to_numpy(model.predict(ops.asarray(small, dtype=width))) for width in ("uint64", dtype))
    np.testing.assert_array_equal(narrow, wide)


def test_the_seed_is_saved(ops: Ops) -> None:
    def make() -> Model:
        return chain(HashEmbed(4, 11))

    model, loaded = make().initialize(), make()
    assert model.layers[0].attrs["seed"] != loaded.layers[0].attrs["seed"]
    loaded.from_bytes(model.to_bytes())
    ids = ops.asarray(EDGES)
    np.testing.assert_array_equal(to_numpy(loaded.predict(ids)), to_numpy(model.predict(ids)))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "7"])
def test_a_seed_that_is_none(seed: Any) -> None:
    with pytest.raises(ArgumentError, match="seed must be an integer from 0 to 4294967295, got"):
        HashEmbed(4, 11, seed=seed)


def test_a_column_that_is_missing() -> None:
    ops = ops_or_skip("numpy")
    model = HashEmbed(4, 11, column=2, seed=0).initialize()
    with pytest.raises(ShapeError, match="X must have a column 2, got shape"):
        model.predict(ops.asarray(EDGES[:, None]))


@pytest.mark.parametrize("mode", ["mean", "sum"])
def test_a_bag_is_an_embedding_and_a_reduction(mode: str, ops: Ops) -> None:
    lengths = (3, 0, 5, 1)
    X = Ragged(ids(ops, sum(lengths), below=10**6), ops.asarray(np.array(lengths)))
    bag = HashEmbedBag(NO, 13, seed=5, mode=mode).initialize()
    parts = chain(with_array(HashEmbed(NO, 13, seed=5)), getattr(models, f"reduce_{mode}")()).initialize()
    table = parts.layers[0].layers[0]
    table.set_param("E", bag.get_param("E"))
    (Y, backprop), (Z, parts_backprop) = bag.begin_update(X), parts.begin_update(X)
    np.testing.assert_allclose(to_numpy(Y), to_numpy(Z), rtol=1e-5, atol=1e-6)
    dY = floats(ops, len(lengths), NO)
    assert backprop(dY) is None
    assert parts_backprop(dY) is None
    np.testing.assert_allclose(to_numpy(bag.get_grad("E")), to_numpy(table.get_grad("E")), rtol=1e-5, atol=1e-6)


def test_a_bag_says_what_it_takes(ops: Ops) -> None:
    bag = HashEmbedBag(NO, 13, seed=5).initialize()
    assert bag.predict([]).shape == (0, NO)
    with pytest.raises(DTypeError, match="X must be Ragged or a list of arrays of ids, got an array"):
        bag.predict(ids(ops, N, below=9))
    with pytest.raises(DTypeError, match="hashembedbag: X must be an integer array, got float32"):
        bag.predict([floats(ops, N)])
    with pytest.raises(ArgumentError, match="HashEmbedBag: mode must be 'mean' or 'sum', got 'max'"):
        HashEmbedBag(NO, 13, seed=5, mode="max")
    with pytest.raises(ArgumentError, match="HashEmbedBag: seed must be an integer"):
        HashEmbedBag(NO, 13, seed=-1)
