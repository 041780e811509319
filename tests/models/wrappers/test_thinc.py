"""ThincWrapper computes what Thinc computes, to_thinc is the way back, and load_thinc takes over weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import triops
from tests.models.samples import floats, other_ops
from triops import Ops, Padded, Ragged, check_gradient, to_numpy
from triops.errors import ArgumentError, ArrayOwnerError, LoadError
from triops.models import (
    Adam,
    HashEmbed,
    Linear,
    Maxout,
    Relu,
    Softmax,
    chain,
    clone,
    concatenate,
    expand_window,
    list2ragged,
    residual,
    with_array,
)

t = pytest.importorskip("thinc.api")
from triops.models import ThincWrapper, load_thinc, to_thinc  # noqa: E402


def network(dropout: float | None = None) -> Any:
    t.fix_random_seed(0)
    return t.chain(t.Maxout(5, 4, 2, normalize=True, dropout=dropout), t.Linear(3, 5)).initialize()


def wrapped(ops: Ops, model: Any = None) -> ThincWrapper:
    return ThincWrapper(model or network(), ops=ops)


def randomized(model: Any) -> Any:
    rng = np.random.default_rng(7)
    for node in model.walk():
        for name in node.param_names:
            value = node.get_param(name)
            node.set_param(name, value + rng.normal(0, 0.3, value.shape).astype("float32"))
    return model


# -- a Thinc model in triops


def test_output_and_gradients_are_those_of_thinc(ops: Ops) -> None:
    model, X, theirs = wrapped(ops), floats(ops, 6, 4), network()
    Y, backprop = model.begin_update(X)
    dY = floats(ops, 6, 3, seed=1)
    dX = backprop(dY)
    expected, their_backprop = theirs.begin_update(np.array(to_numpy(X)))
    np.testing.assert_array_equal(to_numpy(Y), expected)
    np.testing.assert_allclose(to_numpy(dX), their_backprop(np.array(to_numpy(dY))), rtol=1e-6)
    assert ops.backend.owns(Y)
    assert ops.backend.owns(dX)
    assert model.param_names[0] == "1:maxout.W" or "maxout.W" in " ".join(model.param_names)
    grads = {name.split(":")[1]: to_numpy(model.get_grad(name)) for name in model.param_names}
    for node in theirs.walk():
        for name in node.param_names:
            np.testing.assert_allclose(grads[f"{node.name}.{name}"], node.get_grad(name), rtol=1e-6)
    np.testing.assert_array_equal(to_numpy(model.predict(X)), theirs.predict(np.array(to_numpy(X))))


@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_check_gradient_is_clean(ops: Ops, drop: float) -> None:
    X = floats(ops, 6, 4)
    model = (
        chain(Linear(4, 4), wrapped(ops, network(0.2)), Softmax(2, 3)) if ops.name == "numpy" else wrapped(ops)
    )
    assert len(check_gradient(model.initialize(X), X, drop=drop)) >= 14


def test_kinds_of_batches() -> None:
    ops = triops.get_ops("numpy")
    model = wrapped(ops, t.with_array(t.Linear(3, 4)).initialize(floats(ops, 2, 4)))
    Xs = [floats(ops, 3, 4), floats(ops, 2, 4, seed=1)]
    ragged = Ragged(ops.flatten(Xs), ops.asarray([3, 2]))
    Y, backprop = model.begin_update(Xs)
    assert [dx.shape for dx in backprop(Y)] == [(3, 4), (2, 4)]
    flat, backprop = model.begin_update(ragged)
    assert isinstance(flat, Ragged)
    assert isinstance(backprop(flat), Ragged)
    np.testing.assert_array_equal(flat.data, ops.flatten(Y))
    for X in (Xs, ragged):
        check_gradient(model, X)
    padded = ops.list2padded(Xs)
    Y, backprop = wrapped(ops, t.Dropout(0.5)).begin_update(padded)
    assert isinstance(Y, Padded)
    dX = backprop(Y)
    assert isinstance(dX, Padded)
    np.testing.assert_array_equal(dX.data, 2 * Y.data)


def test_ids_have_no_gradient() -> None:
    ops = triops.get_ops("numpy")
    ids = ops.asarray([3, 2**63, 5], dtype="uint64")
    model = wrapped(ops, t.HashEmbed(4, 20, seed=1)).initialize(ids)
    Y, backprop = model.begin_update(ids)
    assert backprop(Y) is None
    assert check_gradient(model, ids)


def test_the_callers_arrays_stay(ops: Ops) -> None:
    model = wrapped(triops.get_ops("numpy"), t.add(t.noop(), t.noop()))  # Thinc adds to its first input
    X = np.ones((2, 3), "float32")
    X.flags.writeable = False
    assert (model.predict(X) == 2).all()
    assert (X == 1).all()


def test_dropout_follows_the_seed_and_leaves_numpys_generator() -> None:
    X = np.ones((50, 4), "float32")
    np.random.seed(3)  # noqa: NPY002 - Thinc draws from it
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    runs = []
    for seed in (1, 1, 2):
        model = wrapped(triops.get_ops("numpy"), t.Dropout(0.2)).initialize(X, seed=seed)
        runs.append(model.begin_update(X, drop=0.6)[0])
        assert model.thinc.attrs["dropout_rate"] == 0.2
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert 0.3 < (runs[0] > 0).mean() < 0.5
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("make", [lambda: Adam(0.01), lambda: t.Adam(0.01)], ids=["triops", "thinc"])
def test_either_optimizer_trains(ops: Ops, make: Any) -> None:
    X = floats(ops, 20, 4)
    model, optimizer, losses = wrapped(ops), make(), []
    for _ in range(20):
        Y, backprop = model.begin_update(X)
        losses.append(float((to_numpy(Y) ** 2).sum()))
        backprop(Y * 2)
        model.finish_update(optimizer)
        assert not any(model.has_grad(name) for name in model.param_names)
    assert losses[-1] < 0.7 * losses[0]


def test_initialize_makes_what_is_missing_and_keeps_the_rest() -> None:
    X = np.ones((2, 4), "float32")
    model = ThincWrapper(t.Linear(3))
    assert model.has_param("0:linear.W") is None
    model.initialize(X, seed=1)
    W = model.get_param("0:linear.W")
    assert (model.get_dim("nI"), model.get_dim("nO"), W.shape) == (4, 3, (3, 4))
    np.testing.assert_array_equal(model.initialize(X, seed=2).get_param("0:linear.W"), W)
    np.testing.assert_array_equal(ThincWrapper(t.Linear(3)).initialize(X, seed=1).get_param("0:linear.W"), W)


def test_saved_inside_a_larger_model(tmp_path: Path) -> None:
    X = floats(triops.get_ops("numpy"), 5, 4)
    model = chain(Relu(4, 4), ThincWrapper(randomized(network())), Softmax(2, 3)).initialize(X)
    model.to_disk(tmp_path / "model.triops")
    fresh = chain(
        Relu(4, 4), ThincWrapper(t.chain(t.Maxout(5, 4, 2, normalize=True), t.Linear(3, 5))), Softmax(2, 3)
    )
    fresh.from_disk(tmp_path / "model.triops")
    np.testing.assert_array_equal(fresh.predict(X), model.predict(X))
    np.testing.assert_array_equal(model.copy().predict(X), model.predict(X))
    other = chain(
        Relu(4, 4), ThincWrapper(t.chain(t.Maxout(5, 4, 3), t.Linear(3, 5)).initialize()), Softmax(2, 3)
    )
    other.initialize(X)
    before = other.predict(X)
    with pytest.raises(LoadError, match="1:thincwrapper"):
        other.from_disk(tmp_path / "model.triops")
    np.testing.assert_array_equal(other.predict(X), before)


def test_a_copy_is_on_its_own() -> None:
    X = floats(triops.get_ops("numpy"), 5, 4)
    model = wrapped(triops.get_ops("numpy"))
    twin, before = model.copy(), model.predict(X)
    Y, backprop = twin.begin_update(X)
    backprop(Y, sgd=Adam(0.1))
    assert not np.array_equal(twin.predict(X), before)
    np.testing.assert_array_equal(model.predict(X), before)


def test_wrong_input(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match=r"must be a thinc.api.Model, got int"):
        ThincWrapper(3)
    with pytest.raises(ArgumentError, match="drop=None"):
        wrapped(ops).begin_update(floats(ops, 2, 4), drop=None)[1](floats(ops, 2, 3))
    with pytest.raises(ArrayOwnerError):
        wrapped(ops).predict(floats(other_ops(ops), 2, 4))


# -- a triops model in Thinc


def perceptron() -> Any:
    return chain(Relu(6, 4), Linear(3, 6))


def test_to_thinc_shares_parameters_and_gradients() -> None:
    X, dY = floats(triops.get_ops("numpy"), 5, 4), floats(triops.get_ops("numpy"), 5, 3, seed=1)
    ours = perceptron().initialize(X)
    theirs = to_thinc(ours)
    assert (theirs.get_dim("nI"), theirs.get_dim("nO")) == (4, 3)
    np.testing.assert_array_equal(theirs.predict(X), ours.predict(X))
    dX = theirs.begin_update(X)[1](dY)
    twin = ours.copy()
    twin.clear_grads()
    np.testing.assert_array_equal(dX, twin.begin_update(X)[1](dY))


@pytest.mark.parametrize("make", [lambda: Adam(0.01), lambda: t.Adam(0.01)], ids=["triops", "thinc"])
def test_to_thinc_trains_among_thincs_layers(make: Any) -> None:
    X = floats(triops.get_ops("numpy"), 20, 4)
    t.fix_random_seed(0)
    model = t.chain(t.Linear(4, 4), to_thinc(perceptron())).initialize(X)
    first, optimizer = model.predict(X), make()
    for _ in range(20):
        Y, backprop = model.begin_update(X)
        backprop(Y * 2)
        model.finish_update(optimizer)
    last = model.predict(X)
    assert (last**2).sum() < 0.5 * (first**2).sum()
    with model.use_params(optimizer.averages):
        assert not np.allclose(model.predict(X), last)
    np.testing.assert_array_equal(model.predict(X), last)
    saved = t.chain(t.Linear(4, 4), to_thinc(perceptron())).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(saved.predict(X), last)
    np.testing.assert_array_equal(model.copy().predict(X), last)


def test_to_thinc_refuses_what_lacks_a_method() -> None:
    with pytest.raises(
        ArgumentError, match="object has no begin_update, to_bytes, from_bytes, to_disk, from_disk"
    ):
        to_thinc(object())


# -- Thinc's weights in triops' layers


def their_tagger() -> Any:
    tables = t.concatenate(t.HashEmbed(6, 50, column=0, seed=7), t.HashEmbed(6, 20, column=1, seed=9))
    block = t.chain(t.expand_window(1), t.with_array(t.Maxout(6, 18, 3, normalize=True)))
    embed = t.with_array(t.chain(tables, t.Maxout(6, 12, 3, normalize=True, dropout=0.1)))
    return t.chain(t.list2ragged(), embed, t.clone(t.residual(block), 2), t.with_array(t.Softmax(4, 6)))


def our_tagger(nO: int | None = None) -> Any:
    tables = concatenate(HashEmbed(6, 50, column=0), HashEmbed(6, 20, column=1))
    block = residual(chain(expand_window(1), with_array(Maxout(6, 18, 3, normalize=True))))
    embed = with_array(chain(tables, Maxout(6, 12, 3, normalize=True)))
    return chain(list2ragged(), embed, clone(block, 2), with_array(Softmax(nO)))


@pytest.mark.parametrize("source", ["model", "bytes", "path"])
def test_weights_of_thinc_give_the_same_predictions(source: str, tmp_path: Path) -> None:
    ids = [np.random.default_rng(n).integers(0, 2**64, (4 - n, 2), dtype="uint64") for n in range(3)]
    theirs = randomized(their_tagger().initialize(ids))
    theirs.to_disk(tmp_path / "model")
    given = {"model": theirs, "bytes": theirs.to_bytes(), "path": tmp_path / "model"}[source]
    ours = load_thinc(our_tagger(), given)
    np.testing.assert_allclose(ours.predict(ids).data, theirs.predict(ids).data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: our_tagger(3), "nO|expected shape"),
        (lambda: chain(Relu(3, 2), Softmax(2, 3)), "same layers in the same order"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(make: Any, message: str) -> None:
    theirs = their_tagger().initialize([np.ones((2, 2), "uint64")])
    model = make()
    with pytest.raises(LoadError, match=message):
        load_thinc(model, theirs)
    assert not any(node.has_param(name) for node in model.walk() for name in node.param_names)


@pytest.mark.parametrize("source", [b"no model", b"", 3])
def test_no_model_of_thinc(source: Any) -> None:
    with pytest.raises(LoadError):
        load_thinc(perceptron(), source)


def test_relu_is_no_mish() -> None:
    theirs = t.chain(t.Mish(6, 4), t.Linear(3, 6)).initialize()
    with pytest.raises(LoadError, match="same layers"):
        load_thinc(perceptron(), theirs)
