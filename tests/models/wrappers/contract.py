"""What holds for every wrapper, whatever the library: `make` gives a new one for float32 inputs of width 4, with
3 outputs, and the same weights each time."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats, other_ops, read_only
from tests.models.sealed import opened, sealed
from triops import Model, Ops, to_numpy, use_ops
from triops.errors import ArgumentError, ArrayOwnerError, DTypeError, LoadError, ShapeError, UninitializedError
from triops.models import SGD, Adam, CategoricalCrossentropy, Linear, Softmax, chain

__all__ = ["CONTRACT"]

Make = Callable[[], Any]


def weights(model: Model) -> list[Any]:
    return [to_numpy(node.get_param(name)).copy() for node in model.walk() for name in node.param_names]


def differ(some: list[Any], others: list[Any]) -> bool:
    return any(not np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def it_trains_in_a_chain_and_loads_there(ops: Ops, make: Make) -> None:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 3, 24)
    data = (2 * np.eye(3, 5)[labels] + 0.3 * draws.normal(size=(24, 5))).astype("float32")

    def build(ops: Ops) -> Model:
        return chain(Linear(4, 5), make(), Softmax(3, 3)).initialize(ops.asarray(data), seed=1)

    model, X = build(ops), ops.asarray(data)
    loss_function, optimizer, losses = CategoricalCrossentropy(), Adam(0.05), []
    for _ in range(15):
        Yh, backprop = model.begin_update(X)
        gradient, loss = loss_function(Yh, labels.tolist())
        backprop(gradient, sgd=optimizer)
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]
    saved, expected = model.to_bytes(), to_numpy(model.predict(X))
    assert not np.allclose(to_numpy(build(ops).predict(X)), expected, atol=1e-3)
    np.testing.assert_array_equal(to_numpy(build(ops).from_bytes(saved).predict(X)), expected)
    with use_ops(other_ops(ops)) as other:
        there = build(other).from_bytes(saved)
        np.testing.assert_allclose(to_numpy(there.predict(other.asarray(data))), expected, atol=1e-5)


def sgd_in_the_callback_is_finish_update_afterwards(ops: Ops, make: Make) -> None:
    X, at_once, later = floats(ops, 6, 4), make(), make()
    before = weights(later)
    at_once.begin_update(X)[1](floats(ops, 6, 3), sgd=SGD(0.1))
    later.begin_update(X)[1](floats(ops, 6, 3))
    assert not differ(before, weights(later))
    assert all(map(later.has_grad, later.param_names))
    later.finish_update(SGD(0.1))
    assert not any(map(later.has_grad, later.param_names))
    for ours, theirs, old in zip(weights(at_once), weights(later), before, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        assert not np.array_equal(ours, old)


def gradients_of_several_passes_add_up(ops: Ops, make: Make) -> None:
    X, dY, once, twice = floats(ops, 6, 4), floats(ops, 6, 3), make(), make()
    once.begin_update(X)[1](dY)
    for backprop in [twice.begin_update(X)[1] for _ in range(2)]:
        backprop(dY)
    for name in once.param_names:
        np.testing.assert_allclose(to_numpy(twice.get_grad(name)), 2 * to_numpy(once.get_grad(name)), rtol=1e-5)


def parameters_are_copies_and_can_be_set(ops: Ops, make: Make) -> None:
    model = make()
    name = model.param_names[0]
    value = to_numpy(model.get_param(name)) + 1
    model.set_param(name, ops.asarray(value))
    array = model.get_param(name)
    np.testing.assert_array_equal(to_numpy(array), value)
    model.set_param(name, ops.asarray(value * 2))
    np.testing.assert_array_equal(to_numpy(array), value)
    assert model.count_params() == sum(array.size for array in weights(model))
    assert model.has_param("nothing") is False
    with pytest.raises(UninitializedError, match="parameter nothing does not exist"):
        model.get_param("nothing")


def a_copy_is_a_model_of_its_own(ops: Ops, make: Make) -> None:
    model, X = make(), floats(ops, 6, 4)
    model.begin_update(X)[1](floats(ops, 6, 3), sgd=SGD(0.1))
    twin, before = model.copy(), weights(model)
    assert not differ(weights(twin), before)
    np.testing.assert_allclose(to_numpy(twin.predict(X)), to_numpy(model.predict(X)), rtol=1e-6)
    twin.begin_update(X)[1](floats(ops, 6, 3), sgd=SGD(0.1))
    assert differ(weights(twin), before)
    assert not differ(weights(model), before)


def pickled_it_is_a_model_of_its_own(ops: Ops, make: Make) -> None:
    """As what sends a model to another process does it."""
    model, X, dY = make(), floats(ops, 6, 4), floats(ops, 6, 3)
    model.begin_update(X, 0.0)[1](dY, sgd=SGD(0.1))
    model.begin_update(X, 0.0)[1](dY)
    whole = chain(Linear(4, 4), model).initialize(X) if ops.name == "numpy" else chain(model)
    twin = pickle.loads(pickle.dumps(whole)).layers[-1]
    assert type(twin) is type(model)
    assert twin.id != model.id
    assert twin.ops is model.ops
    assert twin.param_names == model.param_names
    before = weights(model)
    assert not differ(weights(twin), before)
    for name in model.param_names:
        np.testing.assert_array_equal(to_numpy(twin.get_grad(name)), to_numpy(model.get_grad(name)))
    np.testing.assert_allclose(to_numpy(twin.predict(X)), to_numpy(model.predict(X)), rtol=1e-6)
    assert twin.get_state("drawn") == model.get_state("drawn")
    for each in (twin, model):
        each.begin_update(X)[1](dY, sgd=SGD(0.1))
        assert differ(weights(each), before)
    for one, other in zip(weights(twin), weights(model), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def no_array_is_changed_and_later_changes_do_not_count(ops: Ops, make: Make) -> None:
    X, dY, model = floats(ops, 6, 4), floats(ops, 6, 3), make()
    X_before, dY_before = to_numpy(X).copy(), to_numpy(dY).copy()
    Y, backprop = model.begin_update(X)
    Y_before = to_numpy(Y).copy()
    dX = backprop(dY)
    for array, before in ((X, X_before), (dY, dY_before), (Y, Y_before)):
        np.testing.assert_array_equal(to_numpy(array), before)
    again, backprop = make().begin_update(read_only(X))
    np.testing.assert_array_equal(to_numpy(again), Y_before)
    np.testing.assert_array_equal(to_numpy(backprop(read_only(dY))), to_numpy(dX))


def moved_and_converted_it_computes_the_same(ops: Ops, make: Make) -> None:
    model, X = make(), floats(ops, 6, 4)
    expected = to_numpy(model.predict(X))
    other = other_ops(ops)
    moved = model.copy().to(other)
    np.testing.assert_allclose(to_numpy(moved.predict(other.asarray(to_numpy(X)))), expected, atol=1e-5)
    wide = model.copy().astype("float64")
    Y, backprop = wide.begin_update(floats(ops, 6, 4, dtype="float64"))
    dX = backprop(floats(ops, 6, 3, dtype="float64"))
    dtypes = {str(array.dtype) for array in (Y, dX, *weights(wide), wide.get_grad(wide.param_names[0]))}
    assert dtypes == {"float64"}


def what_does_not_fit_is_refused(ops: Ops, make: Make) -> None:
    model, X = make(), floats(ops, 6, 4)
    for drop in (-0.1, 1.0):
        with pytest.raises(ArgumentError, match="drop must be from 0 up to"):
            model.begin_update(X, drop)
    with pytest.raises(ArrayOwnerError, match="X is an array of"):
        model.begin_update(floats(other_ops(ops), 6, 4))
    with pytest.raises(DTypeError, match="X must be an array of"):
        model.begin_update("text")
    with pytest.raises(ArgumentError, match="drop=None predicts"):
        model.begin_update(X, drop=None)[1](floats(ops, 6, 3))
    _, backprop = model.begin_update(X)
    with pytest.raises(ShapeError, match="dY must have the shape of Y"):
        backprop(floats(ops, 6, 2))
    with pytest.raises(DTypeError, match="dY is float64 and Y is float32"):
        backprop(floats(ops, 6, 3, dtype="float64"))
    backprop(floats(ops, 6, 3))
    with pytest.raises(ArgumentError, match="called for this forward pass before"):
        backprop(floats(ops, 6, 3))


def what_is_no_saved_model_of_its_kind_is_refused(ops: Ops, make: Make) -> None:
    model = make()
    before = weights(model)
    name = model.param_names[-1]
    for damage, match in (
        (lambda params: params.pop(name), "expected the "),
        (lambda params: params.update(more=params[name]), "expected the "),
        (lambda params: params.update({name: 5}), "is no saved array"),
        (lambda params: params[name].update(shape=[99]), "needs 396 bytes"),
        (lambda params: params[name].update(dtype="object"), "unknown dtype"),
        (lambda params: params[name].update(shape=[1, *params[name]["shape"]]), "expected shape"),
    ):
        content = opened(model.to_bytes())
        damage(content["nodes"][0]["params"])
        with pytest.raises(LoadError, match=match):
            model.from_bytes(sealed(content))
        assert not differ(weights(model), before)


CONTRACT = {
    test.__name__: test
    for test in (
        it_trains_in_a_chain_and_loads_there,
        sgd_in_the_callback_is_finish_update_afterwards,
        gradients_of_several_passes_add_up,
        parameters_are_copies_and_can_be_set,
        a_copy_is_a_model_of_its_own,
        pickled_it_is_a_model_of_its_own,
        no_array_is_changed_and_later_changes_do_not_count,
        moved_and_converted_it_computes_the_same,
        what_does_not_fit_is_refused,
        what_is_no_saved_model_of_its_kind_is_refused,
    )
}
