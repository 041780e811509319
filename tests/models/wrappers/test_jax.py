"""JaxWrapper computes what JAX computes: functions with a pytree, and modules of Flax NNX and Equinox."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats, ids, ops_or_skip
from tests.models.wrappers.contract import CONTRACT
from triops import Ops, check_gradient, to_numpy
from triops.errors import ArgumentError, LoadError

jax = pytest.importorskip("jax")
jnp = jax.numpy
eqx = pytest.importorskip("equinox")
nnx = pytest.importorskip("flax.nnx")

from triops.models import JaxWrapper, Relu, chain  # noqa: E402 - it loads JAX


def mlp(params: Any, X: Any) -> Any:
    for layer in params["layers"]:
        X = jnp.tanh(X @ layer["W"] + layer["b"])
    return X * params["scale"]


def weights() -> Any:
    draws = np.random.default_rng(1)

    def layer(nI: int, nO: int) -> dict[str, Any]:
        return {"W": draws.normal(size=(nI, nO)).astype("float32"), "b": np.full(nO, 0.1, "float32")}

    return {"layers": [layer(4, 5), layer(5, 3)], "scale": jnp.float32(1.5), "steps": 3}


def function() -> Any:
    return JaxWrapper(mlp, weights())


def squashed(x: Any) -> Any:
    return jnp.tanh(x)


def same(x: Any) -> Any:
    return x


class Dropped(eqx.Module):
    linear: Any
    dropout: Any

    def __init__(self) -> None:
        self.linear, self.dropout = eqx.nn.Linear(4, 3, key=jax.random.key(1)), eqx.nn.Dropout(0.5)

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        return self.dropout(self.linear(x), key=key)


class Normed(nnx.Module):  # type: ignore[misc, name-defined]
    def __init__(self, rate: float = 0.0) -> None:
        rngs = nnx.Rngs(0)
        self.layers = nnx.List([nnx.Linear(4, 5, rngs=rngs), nnx.Linear(5, 3, rngs=rngs)])
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(rate, rngs=rngs)

    def __call__(self, X: Any) -> Any:
        return self.dropout(self.layers[1](jnp.tanh(self.layers[0](self.norm(X)))))


MAKERS = {
    "function": function,
    "equinox": lambda: JaxWrapper(eqx.nn.MLP(4, 3, 5, 1, squashed, same, key=jax.random.key(0)), vmap=True),
    "nnx": lambda: JaxWrapper(Normed()),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("rule", CONTRACT)
def test_contract(ops: Ops, make: Any, rule: str) -> None:
    CONTRACT[rule](ops, make)


@pytest.mark.parametrize(
    "make",
    [
        lambda: JaxWrapper(lambda params, X: X * params["scale"], weights(), name="mine"),
        lambda: JaxWrapper(eqx.nn.MLP(4, 3, 5, 1, key=jax.random.key(0)), vmap=True, name="mine"),
    ],
    ids=["a function without a name", "a module with one"],
)
def test_what_cannot_be_pickled_is_named(make: Any) -> None:
    with pytest.raises(ArgumentError, match=r"mine: what JaxWrapper.* wraps cannot be pickled"):
        pickle.dumps(chain(Relu(4, 4), make()))
    assert make().copy().param_names == make().param_names


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_gradients_agree_with_finite_differences(ops: Ops, make: Any) -> None:
    assert check_gradient(make(), floats(ops, 6, 4))
    assert check_gradient(chain(Relu(4, 5), make()).initialize(seed=1), floats(ops, 6, 5))


def test_output_and_gradients_are_those_of_jax(ops: Ops) -> None:
    model, X, dY = function(), floats(ops, 6, 4), floats(ops, 6, 3)
    Y, backprop = model.begin_update(X)
    dX = backprop(dY)
    params = weights()
    steps = params.pop("steps")
    expected, vjp = jax.vjp(lambda params, X: mlp(params | {"steps": steps}, X), params, to_numpy(X))
    dparams, expected_dX = vjp(to_numpy(dY))
    np.testing.assert_allclose(to_numpy(Y), expected, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(dX), expected_dX, rtol=1e-4, atol=1e-6)
    assert set(model.param_names) == {"layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b", "scale"}
    gradient = to_numpy(model.get_grad("layers.0.W"))
    np.testing.assert_allclose(gradient, dparams["layers"][0]["W"], rtol=1e-4, atol=1e-6)


def test_several_inputs_and_outputs(ops: Ops) -> None:
    def function(params: Any, ids: Any, X: Any) -> Any:
        return [params["table"][ids] * X, (X.sum(axis=1), ids + 1)]

    model = JaxWrapper(function, {"table": np.arange(36, dtype="float32").reshape(9, 4)})
    X = (ids(ops, 6, below=9), floats(ops, 6, 4))
    Y, backprop = model.begin_update(X)
    assert isinstance(Y, list)
    assert isinstance(Y[1], tuple)
    assert to_numpy(Y[1][1]).dtype == "int32"
    nothing, dX = backprop([None, (floats(ops, 6) * 0 + 1, None)])
    assert nothing is None
    np.testing.assert_array_equal(to_numpy(dX), np.ones((6, 4)))
    _, backprop = model.begin_update(X)
    assert backprop([floats(ops, 6, 4), None])[1].shape == (6, 4)


def test_integers_of_64_bits_arrive_whole(ops: Ops) -> None:
    seen = []

    def function(params: Any, ids: Any) -> Any:
        seen.append(ids.dtype)
        return (ids >> 32).astype("float32")

    ids = ops.asarray(np.array([2**40, 5], dtype="int64"), "int64")
    np.testing.assert_array_equal(to_numpy(JaxWrapper(function, {}).predict(ids)), [256, 0])
    assert seen == [np.dtype("int64")]


def test_a_pass_is_compiled_once_a_shape(ops: Ops) -> None:
    traced = []

    def function(params: Any, X: Any, drop: Any) -> Any:
        traced.append(X.shape)
        return X * params * (1 - drop)

    model = JaxWrapper(function, np.ones(4, "float32"))
    assert model.param_names == ("params",)
    for rows in (6, 6, 7, 6):
        for drop in (0.0, 0.1, 0.2):
            Y, backprop = model.begin_update(floats(ops, rows, 4), drop)
            np.testing.assert_allclose(to_numpy(Y), to_numpy(floats(ops, rows, 4)) * (1 - drop), rtol=1e-6)
            backprop(Y)
    assert len(set(traced)) == 2
    assert len(traced) <= 2 * len(set(traced))
    model.copy().begin_update(floats(ops, 6, 4))
    assert len(traced) <= 4


def test_a_function_is_given_what_it_names(ops: Ops) -> None:
    def function(params: Any, X: Any, *, key: Any, drop: Any, train: bool) -> Any:
        assert isinstance(train, bool)
        return X * 0 + jax.random.uniform(key) + 10 * drop + 100 * train

    model, X = JaxWrapper(function, {}).initialize(seed=1), floats(ops, 2, 3)

    def value(drop: float | None) -> float:
        return float(to_numpy(model.begin_update(X, drop)[0])[0, 0])

    assert 105 <= value(0.5) < 106
    assert 0 <= value(None) < 1
    assert value(0.0) != value(0.0)
    assert value(None) == value(None)
    again = JaxWrapper(function, {}).initialize(seed=1)
    model.initialize(seed=1)
    assert value(0.5) == float(to_numpy(again.begin_update(X, 0.5)[0])[0, 0])


@pytest.mark.parametrize(
    "make", [lambda: JaxWrapper(Dropped(), vmap=True), lambda: JaxWrapper(Normed(0.5))], ids=["equinox", "nnx"]
)
def test_modes_and_rates_of_modules(ops: Ops, make: Any) -> None:
    model, X = make().initialize(seed=1), floats(ops, 200, 4)

    def dropped(drop: float | None) -> float:
        return float((to_numpy(model.begin_update(X, drop)[0]) == 0).mean())

    assert dropped(0.0) == pytest.approx(0.5, abs=0.08)
    assert dropped(0.2) == pytest.approx(0.2, abs=0.08)
    assert dropped(None) == 0
    rows = to_numpy(model.begin_update(X)[0]) == 0
    assert len({tuple(row) for row in rows}) > 4  # each row has a mask of its own
    assert check_gradient(model, floats(ops, 6, 4), drop=0.2)


def test_statistics_are_kept_and_saved(ops: Ops) -> None:
    model, X = MAKERS["nnx"](), floats(ops, 6, 4)
    first = to_numpy(model.predict(X))
    model.begin_update(X)
    assert not np.allclose(to_numpy(model.predict(X)), first)
    loaded = MAKERS["nnx"]().from_bytes(model.to_bytes())
    np.testing.assert_array_equal(to_numpy(loaded.predict(X)), to_numpy(model.predict(X)))
    assert to_numpy(loaded.get_state("norm.mean")).any()
    before = loaded.to_bytes()
    with pytest.raises(LoadError, match=r"norm.mean: expected an array of shape \(4,\), the saved one has None"):
        loaded.from_bytes(function().to_bytes(), params=False)
    assert loaded.to_bytes() == before


def test_what_was_wrapped_comes_back_with_the_values_of_now(ops: Ops) -> None:
    X = floats(ops, 6, 4)
    for make in MAKERS.values():
        model = make()
        model.begin_update(X)[1](floats(ops, 6, 3), sgd=lambda key, W, dW: (W - 0.1 * dW, dW))
        tree = model.tree
        if isinstance(tree, dict):
            Y = mlp(tree, to_numpy(X))
        elif isinstance(tree, eqx.Module):
            Y = jax.vmap(tree)(to_numpy(X))
        else:
            tree.eval()
            Y = tree(to_numpy(X))
        np.testing.assert_allclose(Y, to_numpy(model.predict(X)), rtol=1e-4, atol=1e-5)


def test_jax_can_trace_it() -> None:
    model = JaxWrapper(mlp, weights(), ops=ops_or_skip("jax"))
    X = jnp.ones((2, 4))
    np.testing.assert_allclose(jax.jit(model.predict)(X), model.predict(X), rtol=1e-6)


def test_errors_say_what_came_and_what_to_do(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match="or a module that can be called, got dict"):
        JaxWrapper({})
    with pytest.raises(ArgumentError, match="a function needs its params"):
        JaxWrapper(mlp)
    with pytest.raises(ArgumentError, match=r"several parameters have the path \['a.b'\]"):
        JaxWrapper(mlp, {"a": {"b": np.ones(2, "float32")}, "a.b": np.ones(2, "float32")})
    with pytest.raises(ArgumentError, match="leave vmap out"):
        JaxWrapper(Normed(), vmap=True)
    with pytest.raises(TypeError, match="must return a tensor, or lists and tuples of tensors, got dict"):
        JaxWrapper(lambda params, X: {"Y": X}, {}).begin_update(floats(ops, 2, 3))
    with pytest.raises(TypeError, match=r"incompatible shapes|dot_general"):
        function().begin_update(floats(ops, 2, 3))
    assert repr(function()) == "JaxWrapper(mlp)"
