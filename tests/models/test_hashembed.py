"""HashEmbed beside Thinc's, with ids of every width, and saved with its seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats, ops_or_skip, params_of
from triops import Model, Ops, to_numpy
from triops.errors import ArgumentError, ShapeError
from triops.models import HashEmbed, chain

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
