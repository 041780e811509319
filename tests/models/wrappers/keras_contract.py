"""The tests of KerasWrapper. Keras chooses its backend when it is imported, so test_keras.py runs this file in a
process for each."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tests.models.samples import floats, ids, other_ops
from tests.models.wrappers.contract import CONTRACT
from triops import Ops, check_gradient, get_ops, to_numpy, use_ops
from triops.errors import ArgumentError, DTypeError, LoadError, UninitializedError
from triops.models import KerasWrapper, Relu, chain

layers = keras.layers

# What Keras on PyTorch does with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


def mlp(rate: float = 0.0) -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.BatchNormalization(),
            layers.Dense(5, activation="tanh"),
            layers.Dropout(rate),
            layers.Dense(3),
        ]
    )


def wrapped() -> Any:
    return KerasWrapper(mlp())


def two_ways() -> Any:
    a, b = keras.Input((3,)), keras.Input((4,))
    hidden = layers.Concatenate()([layers.Dense(4)(a), layers.Dense(4)(b)])
    return keras.Model([a, b], [layers.Dense(2)(hidden), layers.Dense(1)(hidden)])


@keras.saving.register_keras_serializable()
class Own(keras.Model):
    """A model with code of its own, and no say in whether it trains."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.drop, self.last = layers.Dense(5), layers.Dropout(0.5), layers.Dense(3)

    def call(self, X: Any) -> Any:
        return self.last(self.drop(keras.ops.tanh(self.first(X))))


@pytest.fixture(params=["numpy", "jax"])
def ops(request: pytest.FixtureRequest) -> Any:
    with use_ops(get_ops(request.param, "cpu:0")) as ops:
        yield ops


# All of it from NumPy, and from JAX what depends on how arrays go in and out: to compile takes its time.
FROM_JAX = ("it_trains_in_a_chain_and_loads_there", "no_array_is_changed_and_later_changes_do_not_count")


@pytest.mark.parametrize(
    ("name", "rule"), [*(("numpy", rule) for rule in CONTRACT), *(("jax", r) for r in FROM_JAX)]
)
def test_contract(name: str, rule: str) -> None:
    with use_ops(get_ops(name, "cpu:0")) as ops:
        CONTRACT[rule](ops, wrapped)


CASES: dict[str, Any] = {
    "mlp": (mlp, lambda ops: floats(ops, 6, 4)),
    "layer": (lambda: layers.Dense(3), lambda ops: floats(ops, 6, 4)),
    "two ways": (two_ways, lambda ops: [floats(ops, 6, 3), floats(ops, 6, 4, seed=2)]),
    "embedding": (lambda: layers.Embedding(9, 4), lambda ops: ids(ops, 2, 3, below=9)),
    "own code": (Own, lambda ops: floats(ops, 6, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_keras_computes_and_checks_clean(case: str) -> None:
    ops = get_ops("numpy")
    make, inputs = CASES[case]
    model, X = KerasWrapper(make(), ops=ops), inputs(ops)
    model.initialize(X, seed=1)
    expected = model.module(X, training=False)
    Y = model.predict(X)
    for ours, theirs in zip(*(map(as_list, (Y, expected))), strict=True):
        np.testing.assert_allclose(ours, keras.ops.convert_to_numpy(theirs), rtol=1e-5, atol=1e-6)
    assert check_gradient(model, X, drop=0.3)


def as_list(Y: Any) -> list[Any]:
    return list(Y) if isinstance(Y, list | tuple) else [Y]


def test_a_chain_checks_clean(ops: Ops) -> None:
    model = chain(Relu(4, 5), wrapped(), Relu(2, 3)).initialize(seed=1)
    assert check_gradient(model, floats(ops, 6, 5))


def test_names_do_not_depend_on_what_was_made_before() -> None:
    names = tuple(
        f"{layer}/{variable}"
        for layer, variables in (
            ("batch_normalization", ("gamma", "beta")),
            ("dense", ("kernel", "bias")),
            ("dense_1", ("kernel", "bias")),
        )
        for variable in variables
    )
    assert [wrapped().param_names for _ in range(3)] == [names] * 3
    first, second = KerasWrapper(two_ways()), KerasWrapper(two_ways())
    assert first.param_names == second.param_names
    assert len(set(first.param_names)) == 8
    named = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="head_2")])
    assert KerasWrapper(named).param_names == ("head_2/kernel", "head_2/bias")


def test_an_output_that_is_not_used(ops: Ops) -> None:
    model, X = KerasWrapper(two_ways()), [floats(ops, 6, 3), floats(ops, 6, 4)]
    Y, backprop = model.begin_update(X)
    dX = backprop([floats(ops, *Y[0].shape), None])
    assert [dx.shape for dx in dX] == [(6, 3), (6, 4)]
    used = [name for name in model.param_names if model.has_grad(name) and to_numpy(model.get_grad(name)).any()]
    assert len(used) == 6


def test_modes_rates_and_seeds(ops: Ops) -> None:
    def outputs(seed: int) -> list[Any]:
        model = KerasWrapper(keras.Sequential([keras.Input((4,)), layers.Dropout(0.5)])).initialize(seed=seed)
        X = floats(ops, 100, 4)
        return [to_numpy(model.begin_update(X, drop)[0]) for drop in (0.0, 0.0, 0.2, None)]

    first, again, other = outputs(1), outputs(1), outputs(2)
    for Y, rate in zip(first, (0.5, 0.5, 0.2, 0.0), strict=True):
        assert (Y == 0).mean() == pytest.approx(rate, abs=0.1)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_statistics_are_kept_in_training_and_saved(ops: Ops) -> None:
    model, X = wrapped(), floats(ops, 6, 4)
    first = to_numpy(model.predict(X))
    model.begin_update(X)
    assert not np.allclose(to_numpy(model.predict(X)), first, atol=1e-4)
    loaded = wrapped().from_bytes(model.to_bytes())
    np.testing.assert_array_equal(to_numpy(loaded.predict(X)), to_numpy(model.predict(X)))


def test_frozen_layers_are_not_trained() -> None:
    model = KerasWrapper(mlp(), ops=get_ops("numpy"))
    model.module.layers[1].trainable = False
    assert "dense/kernel" not in model.param_names
    X = floats(model.ops, 6, 4)
    before = model.get_param("dense/kernel")
    model.begin_update(X)[1](floats(model.ops, 6, 3), sgd=lambda key, W, dW: (W - dW, dW))
    np.testing.assert_array_equal(model.get_param("dense/kernel"), before)
    assert "dense/kernel" not in model.copy().param_names
    assert check_gradient(model, X)


def test_a_model_that_is_not_built_makes_its_weights_from_the_sample(ops: Ops) -> None:
    model = KerasWrapper(keras.Sequential([layers.Dense(5), layers.Dense(3)]))
    assert model.param_names == ()
    with pytest.raises(UninitializedError, match=r"is not built.*call model.initialize\(X\)"):
        model.initialize()
    model.initialize(floats(ops, 6, 4))
    assert len(model.param_names) == 4
    with pytest.raises(LoadError, match=r"call model.initialize\(X\), before loading"):
        KerasWrapper(keras.Sequential([layers.Dense(5), layers.Dense(3)])).from_bytes(model.to_bytes())


def test_errors_say_what_came_and_what_to_do(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match="must be a layer or model of Keras 3, got Relu: make one first"):
        KerasWrapper(Relu(3))
    with pytest.raises(DTypeError, match="must return a tensor, or lists and tuples of tensors, got dict"):
        KerasWrapper(layers.Lambda(lambda X: {"Y": X})).begin_update(floats(ops, 2, 3))
    model = wrapped()
    with pytest.raises(DTypeError, match="expected float32, got float64: convert it"):
        model.set_param("dense/bias", floats(ops, 5, dtype="float64"))
    with pytest.raises(ValueError, match=r"parameter dense/bias: expected shape \(5,\), got \(4,\)"):
        model.set_param("dense/bias", floats(ops, 4))
    with pytest.raises(ArgumentError, match="parameter bias cannot be set"):
        model.set_param("bias", floats(ops, 4))
    with pytest.raises(TypeError, match="dense/bias"):
        model.set_param("dense/bias", floats(other_ops(ops), 5))
    assert repr(model) == "KerasWrapper(Sequential)"


def test_a_class_that_keras_cannot_make_again_is_named() -> None:
    class Hidden(layers.Layer):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.dense = layers.Dense(size)

        def call(self, X: Any) -> Any:
            return self.dense(X)

    model = KerasWrapper(Hidden(3), ops=get_ops("numpy"))
    model.initialize(floats(model.ops, 6, 4))
    with pytest.raises(ArgumentError, match=r"Keras cannot make Hidden again.*register_keras_serializable"):
        model.copy()
