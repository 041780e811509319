"""Attention layers: what Thinc's and PyTorch's say, compiled models, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats, ops_or_skip, shaken
from triops import Ops, Ragged, to_numpy, use_ops
from triops.errors import ArgumentError, DTypeError, ShapeError
from triops.models import Adam, MultiHeadAttention, ParametricAttention, PositionEncode, TransformerEncoderLayer

LENGTHS = (3, 0, 5, 1)


def ragged(ops: Ops, rows: Any) -> Ragged:
    return Ragged(rows, ops.asarray(np.array(LENGTHS, "int32")))


def test_parametric_attention_as_thinc() -> None:
    thinc = pytest.importorskip("thinc.api")
    from thinc.types import Ragged as ThincRagged

    X, dY = np.random.default_rng(1).normal(0, 1, (2, 9, 4)).astype("float32")
    with use_ops(ops_or_skip("numpy")) as ops:
        ours = shaken(ParametricAttention(4).initialize())
        Y, backprop = ours.begin_update(ragged(ops, X))
        dX = backprop(ragged(ops, dY))
    theirs = thinc.ParametricAttention(4)
    theirs.set_param("Q", ours.get_param("Q"))
    lengths = np.array(LENGTHS, "int32")
    their_Y, their_backprop = theirs.begin_update(ThincRagged(X, lengths))
    their_dX = their_backprop(ThincRagged(dY, lengths))
    np.testing.assert_allclose(Y.data, their_Y.data, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dX.data, their_dX.data, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.get_grad("Q"), theirs.get_grad("Q"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_multi_head_attention_as_pytorch(causal: bool, ops: Ops) -> None:
    torch = pytest.importorskip("torch")
    model = shaken(MultiHeadAttention(8, 8, heads=2, causal=causal).initialize())
    X = floats(ops, 9, 8)
    W, b, Wo, bo = (torch.tensor(to_numpy(model.get_param(name))) for name in ("W", "b", "Wo", "bo"))
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": W.reshape(24, 8),
            "in_proj_bias": b.reshape(24),
            "out_proj.weight": Wo,
            "out_proj.bias": bo,
        }
    )
    Y = to_numpy(model.predict(ragged(ops, X)).data)
    start = 0
    for length in LENGTHS:
        x = torch.tensor(to_numpy(X))[None, start : start + length]
        hidden = torch.ones((length, length), dtype=torch.bool).triu(1) if causal else None
        if length:
            y = theirs(x, x, x, need_weights=False, attn_mask=hidden)[0][0].detach().numpy()
            np.testing.assert_allclose(Y[start : start + length], y, rtol=1e-4, atol=1e-5)
        start += length


def test_a_transformer_learns(ops: Ops) -> None:
    """To say of each row what the first of its sequence is: only attention knows."""
    X = to_numpy(floats(ops, 32, 8))
    firsts = np.repeat(X[::4], 4, axis=0)
    lengths = ops.asarray(np.full(8, 4, "int32"))
    model = PositionEncode() >> TransformerEncoderLayer(8, heads=2, hidden=16)
    batch = Ragged(ops.asarray(X), lengths)
    model.initialize(batch)
    optimizer = Adam(0.02)
    losses = []
    for _ in range(60):
        Y, backprop = model.begin_update(batch)
        d_data = Y.data - ops.asarray(firsts)
        losses.append(float((d_data**2).mean()))
        backprop(Ragged(d_data, lengths), optimizer)
    assert losses[-1] < 0.1 * losses[0]


def test_a_traced_layer_takes_longest() -> None:
    jax = pytest.importorskip("jax")
    with use_ops(ops_or_skip("jax")) as ops:
        X, lengths = floats(ops, 9, 4), ops.asarray(np.array(LENGTHS, "int32"))
        layers = [MultiHeadAttention(4, 4, heads=2, longest=5), ParametricAttention(4), PositionEncode()]
        for layer in layers:
            layer.initialize()
            traced = jax.jit(lambda x, n, layer=layer: layer.predict(Ragged(x, n)).data)(X, lengths)
            eager = layer.predict(Ragged(X, lengths)).data
            np.testing.assert_allclose(to_numpy(traced), to_numpy(eager), rtol=1e-5, atol=1e-6)


def test_errors(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match=r"heads must divide nO = 6, got 4"):
        MultiHeadAttention(6, 6)
    with pytest.raises(ArgumentError, match="heads must divide nO = 6, got 4"):
        MultiHeadAttention().initialize(floats(ops, 3, 6))
    with pytest.raises(ArgumentError, match="period must be above 0"):
        PositionEncode(period=0)
    for layer in (MultiHeadAttention(4, 4, heads=2), ParametricAttention(4), PositionEncode()):
        layer.initialize()
        with pytest.raises(ShapeError, match="lengths must add up to the number of rows, 8, got 9"):
            layer.predict(ragged(ops, floats(ops, 8, 4)))
        with pytest.raises(DTypeError, match="must be a list of arrays, Ragged, Padded or an array, got str"):
            layer.predict("text")
    with pytest.raises(ShapeError, match="dimension nI: expected 4, got 5"):
        MultiHeadAttention(4, 4).initialize().predict(floats(ops, 3, 5))


def test_the_width_is_that_of_the_input_where_nothing_says_otherwise(ops: Ops) -> None:
    assert MultiHeadAttention(heads=3).initialize(floats(ops, 2, 6)).get_dim("nO") == 6
