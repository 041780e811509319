"""LSTM and GRU over batches: every kind of batch, PyTorch's results, Thinc's, and what is wrong in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.samples import NI, NO, floats, named_params, ops_or_skip, shaken
from triops import Model, Ops, Padded, Ragged, check_gradient, get_ops, to_numpy, use_ops
from triops.errors import ArgumentError, DTypeError, ShapeError, UninitializedError
from triops.models import GRU, LSTM

LENGTHS = [2, 5, 1, 0, 5, 5]
KINDS = ("list", "ragged", "padded")

each_layer = pytest.mark.parametrize("layer", [LSTM, GRU])
each_kind = pytest.mark.parametrize("kind", KINDS)


def arrays(ops: Ops, width: int, seed: int = 1, dtype: str = "float32") -> list[Any]:
    return [floats(ops, length, width, seed=seed + n, dtype=dtype) for n, length in enumerate(LENGTHS)]


def batch_of(kind: str, ops: Ops, seqs: list[Any]) -> Any:
    if kind == "list":
        return seqs
    if kind == "padded":
        return ops.list2padded(seqs)
    return Ragged(ops.flatten(seqs), ops.asarray([len(seq) for seq in seqs]))


def sequences_of(ops: Ops, batch: Any) -> list[Any]:
    if isinstance(batch, Ragged):
        batch = ops.unflatten(batch.data, batch.lengths)
    return [to_numpy(seq) for seq in (ops.padded2list(batch) if isinstance(batch, Padded) else batch)]


def made(layer: Any, **settings: Any) -> Model:
    return shaken(layer(NO, NI, **settings).initialize())


@each_layer
@each_kind
def test_each_sequence_is_by_itself(layer: Any, kind: str, ops: Ops) -> None:
    model, Xs, dYs = made(layer, bi=True, depth=2), arrays(ops, NI), arrays(ops, NO, seed=20)
    Y, backprop = model.begin_update(batch_of(kind, ops, Xs))
    predicted = model.predict(batch_of(kind, ops, Xs))
    dX = backprop(batch_of(kind, ops, dYs))
    assert type(Y) is type(predicted) is type(dX) is type(batch_of(kind, ops, Xs))
    gradients = {name: to_numpy(model.get_grad(name)) for name in model.param_names}
    model.clear_grads()
    found = zip(*(sequences_of(ops, batch) for batch in (Y, predicted, dX)), strict=True)
    for x, dy, (y, p, dx) in zip(Xs, dYs, found, strict=True):
        one, backprop = model.begin_update(x)
        np.testing.assert_allclose(y, to_numpy(one), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(p, to_numpy(one), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(dx, to_numpy(backprop(dy)), rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        assert abs(gradient).max() > 0.1
        np.testing.assert_allclose(gradient, to_numpy(model.get_grad(name)), rtol=1e-4, atol=1e-4)


@each_layer
def test_a_batch_and_its_gradient_keep_what_surrounds_the_rows(layer: Any, ops: Ops) -> None:
    model, X = made(layer), ops.list2padded(arrays(ops, NI))
    Y = model.predict(X)
    assert Y.data.shape == (5, 6, NO)
    padding = np.arange(5)[:, None] >= to_numpy(X.lengths)
    assert not to_numpy(Y.data)[padding].any()
    assert Y.lengths is X.lengths
    assert Y.indices is X.indices
    assert Y.size_at_t is X.size_at_t
    ragged = Ragged(X.data[:, 0], ops.asarray([5]))
    assert model.predict(ragged).lengths is ragged.lengths


@each_layer
def test_gradients_of_a_list(layer: Any, ops: Ops) -> None:
    Xs = [x for x in arrays(ops, NI) if len(x)]
    assert len(check_gradient(made(layer, bi=True, depth=2, dropout=0.3), Xs)) == 6


@each_layer
@each_kind
def test_no_sequence_and_no_row(layer: Any, kind: str, ops: Ops) -> None:
    model = made(layer, bi=True)
    for seqs in ([], [floats(ops, 0, NI)] * 2):
        if not seqs and kind != "list":
            continue
        Y, backprop = model.begin_update(batch_of(kind, ops, seqs))
        assert sum(len(y) for y in sequences_of(ops, Y)) == 0
        assert sum(len(x) for x in sequences_of(ops, backprop(Y))) == 0


@each_layer
def test_dropout_is_of_weights(layer: Any, ops: Ops) -> None:
    model, X = made(layer, dropout=0.5), floats(ops, 6, NI)
    once, again = (to_numpy(model.begin_update(X)[0]) for _ in range(2))
    assert not np.allclose(once, again)
    np.testing.assert_array_equal(to_numpy(model.predict(X)), to_numpy(model.predict(X)))
    undisturbed = made(layer)
    np.testing.assert_allclose(
        to_numpy(undisturbed.begin_update(X, drop=0.5)[0]), to_numpy(undisturbed.predict(X)), rtol=1e-5, atol=1e-6
    )


@each_layer
def test_a_prediction_can_go_back_too(layer: Any, ops: Ops) -> None:
    model, X, dY = made(layer), floats(ops, 6, NI), floats(ops, 6, NO)
    one, other = (to_numpy(model.begin_update(X, drop=drop)[1](dY)) for drop in (None, 0.0))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_weights_start_as_thincs(ops: Ops) -> None:
    """Each gate is drawn by itself, biases and states are 0."""
    model = LSTM(8, 6, bi=True, depth=2).initialize()
    at = 0
    for columns in (6, 6, 8, 8):
        weights = to_numpy(model.get_param("LSTM"))
        for width in (columns, 4):
            W = weights[at : at + 16 * width]
            at += 16 * (width + 1)
            bound = (6 / (4 + width)) ** 0.5
            assert 0.8 * bound < abs(W).max() <= bound
            assert not weights[at - 16 : at].any()
    assert at == model.get_dim("weights") == weights.size
    assert not to_numpy(model.get_param("HC0")).any()


def test_widths_come_from_batches(ops: Ops) -> None:
    for kind in KINDS:
        X, Y = (batch_of(kind, ops, arrays(ops, width)) for width in (NI, NO))
        model = LSTM(bi=True).initialize(X, Y)
        assert (model.get_dim("nI"), model.get_dim("nO"), model.get_dim("nH")) == (NI, NO, NO // 2)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize(("depth", "dirs"), [(1, 1), (2, 2)])
def test_as_pytorch(kind: str, depth: int, dirs: int, ops: Ops) -> None:
    torch = pytest.importorskip("torch")
    model = made(LSTM if kind == "lstm" else GRU, bi=dirs == 2, depth=depth).astype("float64")
    for name in model.param_names:
        if name.endswith("0"):
            model.set_param(name, 0 * model.get_param(name))
    net = (torch.nn.LSTM if kind == "lstm" else torch.nn.GRU)(NI, NO // dirs, depth, bidirectional=dirs == 2)
    net = net.double()
    _give_weights(torch, net, named_params(model)[kind.upper()], kind)
    Xs = [x for x in arrays(ops, NI, dtype="float64") if len(x)]
    dYs = [y for y in arrays(ops, NO, seed=20, dtype="float64") if len(y)]
    theirs = [torch.tensor(to_numpy(x), requires_grad=True) for x in Xs]
    packed = torch.nn.utils.rnn.pack_sequence(theirs, enforce_sorted=False)
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(net(packed)[0])
    Y, backprop = model.begin_update(Xs)
    dXs = backprop(dYs)
    sum((padded[:t, n] * torch.tensor(to_numpy(dYs[n]))).sum() for n, t in enumerate(lengths)).backward()
    for n, (y, x, dx) in enumerate(zip(Y, theirs, dXs, strict=True)):
        np.testing.assert_allclose(to_numpy(y), padded[: len(x), n].detach(), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(to_numpy(dx), x.grad, rtol=1e-10, atol=1e-13)
    gradient = to_numpy(model.get_grad(kind.upper()))
    np.testing.assert_allclose(gradient, _weights_of(net, kind, "grad"), rtol=1e-10, atol=1e-13)


ORDER = {"lstm": [1, 0, 3, 2], "gru": [0, 1, 2]}  # PyTorch's places of our gates: f, i, o, g, and r, z, n


def _named(net: Any) -> list[Any]:
    """PyTorch's parameters in our order."""
    suffixes = [f"_l{i}{end}" for i in range(net.num_layers) for end in ("", "_reverse")[: 1 + net.bidirectional]]
    names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    return [getattr(net, name + suffix) for suffix in suffixes for name in names]


def _weights_of(net: Any, kind: str, of: str) -> Any:
    gates = len(ORDER[kind])
    pieces = [getattr(W, of).numpy().reshape(gates, -1, *W.shape[1:])[ORDER[kind]] for W in _named(net)]
    return np.concatenate([piece.ravel() for piece in pieces])


def _give_weights(torch: Any, net: Any, weights: Any, kind: str) -> None:
    at, gates = 0, len(ORDER[kind])
    with torch.no_grad():
        for W in _named(net):
            piece = weights[at : at + W.numel()].reshape(gates, -1, *W.shape[1:])
            W.copy_(torch.tensor(piece[np.argsort(ORDER[kind])].reshape(W.shape)))
            at += W.numel()
    np.testing.assert_array_equal(_weights_of(net, kind, "data"), weights)


@pytest.mark.parametrize(("bi", "depth"), [(False, 1), (True, 1), (True, 3)])
def test_forward_as_thinc(bi: bool, depth: int) -> None:
    thinc = pytest.importorskip("thinc.api")
    ops = ops_or_skip("numpy")
    with use_ops(ops):
        model = made(LSTM, bi=bi, depth=depth)
    model.set_param("HC0", 0 * model.get_param("HC0"))  # Thinc takes the one for the other
    with thinc.use_ops("numpy"):
        theirs = thinc.LSTM(NO, NI, bi=bi, depth=depth).initialize()
    theirs.set_param("LSTM", model.get_param("LSTM"))
    Xs = [x for x in arrays(ops, NI) if len(x)]
    expected = theirs.ops.padded2list(theirs.predict(theirs.ops.list2padded(Xs)))
    for ours, other in zip(model.predict(Xs), expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=2e-5, atol=2e-6)


def test_what_is_wrong(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match="LSTM: depth must be 1 or more, got 0: use noop"):
        LSTM(4, 3, depth=0)
    with pytest.raises(ArgumentError, match="GRU: nO must be even with bi=True, half for each direction, got 3"):
        GRU(3, 3, bi=True)
    with pytest.raises(ShapeError, match="dimension nO: expected an even one"):
        LSTM(bi=True).initialize(floats(ops, 6, 5), floats(ops, 6, 3))
    with pytest.raises(UninitializedError, match="dimension nI is not known yet"):
        LSTM(4).initialize()
    model = made(LSTM)
    with pytest.raises(ShapeError, match="lstm: dimension nI: expected 5, got 4"):
        model.predict([floats(ops, 2, 4)])
    with pytest.raises(ShapeError, match="lstm: X must be an array with 2 dimensions"):
        model.predict(floats(ops, 2, 3, NI))
    with pytest.raises(DTypeError, match="lstm: X must be a floating array"):
        model.predict("words")
    for wrong in ([[1.0] * NI], [None]):
        with pytest.raises(DTypeError, match="lstm: X must be a list of arrays, Ragged, Padded or an array, got"):
            model.predict(wrong)
    with pytest.raises(ShapeError, match="lstm: X must have 3 rows, as its lengths say, got 2"):
        model.predict(Ragged(floats(ops, 2, NI), ops.asarray([3])))
    _, backprop = model.begin_update(Ragged(floats(ops, 2, NI), ops.asarray([2])))
    with pytest.raises(DTypeError, match="lstm: dY must be Ragged, as Y is, got list of 1: give backprop"):
        backprop([floats(ops, 2, NO)])
    with pytest.raises(ShapeError, match=r"dY must have Y's lengths \[2\], got \[3\]"):
        backprop(Ragged(floats(ops, 3, NO), ops.asarray([3])))


def test_a_subclass_has_the_same_parameters() -> None:
    class Renamed(LSTM):
        pass

    X = get_ops("numpy").draw_normal(0, (3, 4))
    model = Renamed(6, 4, bi=True).initialize()
    assert model.param_names == ("LSTM", "HC0")
    np.testing.assert_array_equal(model.predict(X), LSTM(6, 4, bi=True).initialize().predict(X))
