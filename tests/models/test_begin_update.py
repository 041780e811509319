"""The contract of `begin_update` and its callback."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.models.samples import NI, NO, N, classifier, floats, ops_or_skip, params_of, read_only, shaken
from triops import Model, Ops, to_numpy, use_ops
from triops.errors import DTypeError, ShapeError, UninitializedError
from triops.models import SGD, Adam, Dropout, Linear, Maxout, Relu, chain, residual


def network() -> Model:
    return shaken(chain(Maxout(NI, NI, normalize=True), residual(Relu(NI, NI)), Linear(3, NI)).initialize())


def gradients_of(model: Model) -> list[Any]:
    return [to_numpy(node.get_grad(name)) for node in model.walk() for name in node.param_names]


def assert_same(some: list[Any], others: list[Any]) -> None:
    for a, b in zip(some, others, strict=True):
        np.testing.assert_array_equal(a, b)


def assert_close(some: list[Any], others: list[Any]) -> None:
    for a, b in zip(some, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_sgd_in_the_callback_is_finish_update_afterwards(ops: Ops) -> None:
    model = network()
    twin = model.copy()
    X, dY = floats(ops, N, NI), floats(ops, N, 3, seed=2)
    dX = model.begin_update(X)[1](dY, sgd=Adam(0.01))
    other_dX = twin.begin_update(X)[1](dY)
    twin.finish_update(Adam(0.01))
    assert_same(params_of(model), params_of(twin))
    np.testing.assert_array_equal(to_numpy(dX), to_numpy(other_dX))
    assert not any(node.has_grad(name) for node in model.walk() for name in node.param_names)


def test_sgd_can_be_the_second_positional_argument(ops: Ops) -> None:
    model = network()
    before = params_of(model)
    model.begin_update(floats(ops, N, NI))[1](floats(ops, N, 3), SGD(0.1))
    assert not any(np.array_equal(a, b) for a, b in zip(before, params_of(model), strict=True))


def test_an_optimizer_may_be_any_function(ops: Ops) -> None:
    model = network()
    before, seen = params_of(model), []

    def halve(key: Any, weights: Any, gradient: Any) -> tuple[Any, Any]:
        seen.append(key)
        return weights * 0.5, gradient

    model.begin_update(floats(ops, N, NI))[1](floats(ops, N, 3), sgd=halve)
    assert_same(params_of(model), [w * np.float32(0.5) for w in before])
    assert sorted(seen) == sorted((node.id, name) for node in model.walk() for name in node.param_names)


def test_nothing_is_updated_until_the_whole_backward_pass_is_done(ops: Ops) -> None:
    """A layer in two places would otherwise be updated between its two backward passes."""
    layer = shaken(Linear(NI, NI).initialize())
    model = chain(layer, layer, layer)
    twin = model.copy()
    X, dY = floats(ops, N, NI), floats(ops, N, NI, seed=2)
    model.begin_update(X)[1](dY, sgd=SGD(0.1, grad_clip=0))
    twin.begin_update(X)[1](dY)
    W, gradient = params_of(twin)[0], gradients_of(twin)[0]
    np.testing.assert_allclose(params_of(model)[0], W - 0.1 * gradient, rtol=1e-5, atol=1e-6)


def test_gradients_of_several_batches_add_up(ops: Ops) -> None:
    model = network()
    batches = [floats(ops, N, NI, seed=i) for i in range(3)]
    dY = floats(ops, N, 3, seed=9)
    each, untouched = [], model.copy()
    for X in batches:
        twin = untouched.copy()
        twin.begin_update(X)[1](dY)
        each.append(gradients_of(twin))
        model.begin_update(X)[1](dY)
    assert_close(gradients_of(model), [sum(parts) for parts in zip(*each, strict=True)])
    model.clear_grads()
    with pytest.raises(UninitializedError, match="no gradient: run a backward pass first"):
        gradients_of(model)


def test_callbacks_may_be_called_in_any_order_and_again(ops: Ops) -> None:
    model = network()
    X1, X2, dY = floats(ops, N, NI), floats(ops, N, NI, seed=2), floats(ops, N, 3, seed=3)
    expected = [to_numpy(model.begin_update(X)[1](dY)) for X in (X1, X2)]
    for order in itertools.permutations((0, 1)):
        callbacks = [model.begin_update(X)[1] for X in (X1, X2)]
        for which in order:
            np.testing.assert_array_equal(to_numpy(callbacks[which](dY)), expected[which])
    callback = model.begin_update(X1)[1]
    np.testing.assert_array_equal(to_numpy(callback(dY)), to_numpy(callback(dY)))


def test_a_callback_differentiates_its_own_forward_pass(ops: Ops) -> None:
    """Weights that change between the two passes leave the gradient of the input alone."""
    model = network()
    X, dY = floats(ops, N, NI), floats(ops, N, 3, seed=3)
    expected = to_numpy(model.begin_update(X)[1](dY))
    _, backprop = model.begin_update(X)
    model.finish_update(SGD(0.5))
    shaken(model, seed=99)
    np.testing.assert_array_equal(to_numpy(backprop(dY)), expected)


def test_read_only_arrays_go_in() -> None:
    """On NumPy; JAX arrays cannot be written to."""
    ops = ops_or_skip("numpy")
    with use_ops(ops):
        model = network()
    X, dY = read_only(floats(ops, N, NI)), read_only(floats(ops, N, 3))
    before = to_numpy(X).copy(), to_numpy(dY).copy()
    optimizer = Adam(0.01, L2=0.1)
    for _ in range(2):
        for node in model.walk():
            for name in node.param_names:
                node.set_param(name, read_only(node.get_param(name)))
        model.begin_update(X, drop=0.2)[1](dY, sgd=optimizer)
    np.testing.assert_array_equal(to_numpy(X), before[0])
    np.testing.assert_array_equal(to_numpy(dY), before[1])


def test_strided_views_go_in(ops: Ops) -> None:
    model = network()
    wide, dY = floats(ops, 2 * N, 2 * NI), floats(ops, N, 6)
    Y, backprop = model.begin_update(wide[::2, ::2])
    dX = backprop(dY[:, ::2])
    straight = model.begin_update(ops.asarray(to_numpy(wide)[::2, ::2].copy()))
    np.testing.assert_allclose(to_numpy(Y), to_numpy(straight[0]), rtol=1e-5)
    expected = straight[1](ops.asarray(to_numpy(dY)[:, ::2].copy()))
    np.testing.assert_allclose(to_numpy(dX), to_numpy(expected), rtol=1e-5, atol=1e-6)


def test_predict_has_nothing_random_and_remembers_nothing(ops: Ops) -> None:
    model = classifier(drop=0.5).initialize()
    X = floats(ops, N, NI)
    before = model.to_bytes()
    first, second = (to_numpy(model.predict(X)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert model.to_bytes() == before


def test_one_row_predicts_what_it_does_in_a_batch(ops: Ops) -> None:
    model, X = network(), floats(ops, N, NI)
    np.testing.assert_allclose(
        to_numpy(model.predict(X[:1])), to_numpy(model.predict(X))[:1], rtol=1e-5, atol=1e-6
    )


def test_parameters_and_gradients_are_reached_by_name(ops: Ops) -> None:
    model = Linear(NO, NI)
    assert model.param_names == ("W", "b")
    assert model.has_param("W") is None
    assert model.has_param("V") is False
    assert model.maybe_get_param("W") is None
    model.initialize()
    assert model.has_param("W") is True
    assert not model.has_grad("W")
    assert model.maybe_get_grad("W") is None
    W = floats(ops, NO, NI)
    model.inc_grad("W", W)
    model.inc_grad("W", W)
    np.testing.assert_allclose(to_numpy(model.get_grad("W")), 2 * to_numpy(W))
    model.set_grad("W", W)
    assert model.maybe_get_grad("W") is W
    assert model.count_params() == NO * NI + NO


def test_dimensions_are_set_once(ops: Ops) -> None:
    model = Linear(NO)
    assert model.has_dim("nO") is True
    assert model.has_dim("nI") is None
    assert model.has_dim("nP") is False
    assert model.maybe_get_dim("nI") is None
    model.set_dim("nI", NI)
    model.set_dim("nI", NI)
    with pytest.raises(ShapeError, match="dimension nI: expected 5, got 6"):
        model.set_dim("nI", 6)


def test_use_params_is_for_a_block(ops: Ops) -> None:
    model = network()
    X, before = floats(ops, N, NI), params_of(model)
    key = (model.layers[2].id, "W")
    zeros = ops.alloc((3, NI))
    with model.use_params({key: zeros, (-1, "W"): zeros}):
        assert model.layers[2].get_param("W") is zeros
        b = to_numpy(model.layers[2].get_param("b"))
        np.testing.assert_allclose(to_numpy(model.predict(X)), np.tile(b, (N, 1)))
    assert_same(params_of(model), before)
    with pytest.raises(KeyError), model.use_params({key: zeros}):
        raise KeyError
    assert_same(params_of(model), before)


def test_a_model_moves_to_another_backend_and_back(ops: Ops) -> None:
    model = classifier(drop=0.4).initialize()
    model.begin_update(floats(ops, N, NI))[1](floats(ops, N, 3))
    X, before = floats(ops, N, NI), params_of(model)
    Y = to_numpy(model.predict(X))
    for name in ("jax", "numpy", ops.name):
        pytest.importorskip(name)
        assert model.to(name, "cpu:0") is model
        assert {node.ops.name for node in model.walk()} == {name}
        x = model.ops.asarray(to_numpy(X))
        np.testing.assert_allclose(to_numpy(model.predict(x)), Y, rtol=1e-5)
        assert all(node.get_grad(p).dtype == "float32" for node in model.walk() for p in node.param_names)
    assert_same(params_of(model), before)


def test_astype_converts_every_layer(ops: Ops) -> None:
    model = network().astype("float64")
    assert {w.dtype.name for w in params_of(model)} == {"float64"}
    X = ops.asarray(floats(ops, N, NI), dtype="float64")
    assert model.predict(X).dtype == "float64"
    assert model.astype("float32").predict(floats(ops, N, NI)).dtype == "float32"


class Steps(Model):
    """Y = X rounded, which has no gradient."""

    def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
        return self.ops.xp.round(X), lambda dY, sgd=None: None


def test_where_no_gradient_comes_back_only_layers_with_parameters_mind(ops: Ops) -> None:
    X = floats(ops, N, NI)
    model = chain(Dropout(0.5), Steps(), Linear(3, NI)).initialize()
    assert model.begin_update(X)[1](floats(ops, N, 3), sgd=Adam()) is None
    model = chain(Linear(NI, NI), Steps()).initialize()
    with pytest.raises(DTypeError, match=r"chain > 0:linear: dY must .* got NoneType: the layer after this one"):
        model.begin_update(X)[1](X)


def test_a_layer_without_begin_update_says_what_to_write(ops: Ops) -> None:
    class Unfinished(Model):
        pass

    with pytest.raises(
        NotImplementedError, match=r"Unfinished must implement begin_update\(self, X, drop=0\.0\)"
    ):
        chain(Unfinished(), Dropout()).predict(floats(ops, N, NI))
