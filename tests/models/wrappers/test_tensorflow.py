"""TensorFlowWrapper computes what TensorFlow computes: modules, and functions over variables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats, ids, ops_or_skip, other_ops
from tests.models.wrappers.contract import CONTRACT
from triops import Ops, check_gradient, to_numpy
from triops.errors import ArgumentError, DTypeError, UninitializedError
from triops.models import SGD, Relu, chain

tf = pytest.importorskip("tensorflow")

from triops.models import TensorFlowWrapper  # noqa: E402 - it loads TensorFlow

PLAIN = "numpy"  # where the backend makes no difference


class Dense(tf.Module):
    def __init__(self, nI: int, nO: int, seed: int) -> None:
        super().__init__()
        draws = np.random.default_rng(seed)
        self.w = tf.Variable(draws.normal(size=(nI, nO)).astype("float32"), name="w")
        self.b = tf.Variable(np.full(nO, 0.1, "float32"), name="b")
        self.calls = tf.Variable(0, trainable=False, name="calls")

    def __call__(self, X: Any) -> Any:
        self.calls.assign_add(1)
        return tf.tanh(X @ self.w + self.b)


class Stack(tf.Module):
    """Two layers, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [Dense(4, 5, 1), Dense(5, 3, 2)]
        self.more = {"scale": (tf.Variable(1.5, name="scale"),)}

    @tf.function
    def __call__(self, X: Any, *, drop: Any, seed: Any) -> Any:
        for layer in self.layers:
            X = layer(X)
        kept = tf.random.stateless_uniform(tf.shape(X), seed) >= drop
        return X * self.more["scale"][0] * tf.cast(kept, X.dtype)


def stack() -> Any:
    return TensorFlowWrapper(Stack())


@pytest.mark.parametrize("rule", CONTRACT)
def test_contract(ops: Ops, rule: str) -> None:
    CONTRACT[rule](ops, stack)


def test_gradients_agree_with_finite_differences(ops: Ops) -> None:
    model = chain(Relu(4, 5), stack()).initialize(seed=1)
    assert len(check_gradient(model, floats(ops, 6, 5))) == 2 * (2 + 5 + 1)
    assert check_gradient(model, floats(ops, 6, 5), drop=0.4)


def test_output_and_gradients_are_those_of_tensorflow(ops: Ops) -> None:
    model, X, dY = stack(), floats(ops, 6, 4), floats(ops, 6, 3)
    Y, backprop = model.begin_update(X)
    dX = backprop(dY)
    module, x = Stack(), tf.constant(to_numpy(X))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = module(x, drop=tf.constant(0.0), seed=tf.constant([1, 2]))
    dx, dw = tape.gradient(y, [x, module.layers[0].w], tf.constant(to_numpy(dY)))
    np.testing.assert_allclose(to_numpy(Y), y.numpy(), rtol=1e-5)
    np.testing.assert_allclose(to_numpy(dX), dx.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(to_numpy(model.get_grad("layers.0.w")), dw.numpy(), rtol=1e-4, atol=1e-6)
    names = {"layers.0.w", "layers.0.b", "layers.1.w", "layers.1.b", "more.scale.0"}
    assert set(model.param_names) == names


def test_variables_that_are_not_trained_are_saved_too(ops: Ops) -> None:
    model = stack()
    model.begin_update(floats(ops, 6, 4))
    assert int(stack().from_bytes(model.to_bytes()).module.layers[0].calls) == 1


def test_a_variable_keeps_to_its_own_memory(ops: Ops) -> None:
    model, value = stack(), floats(ops, 5)
    before = to_numpy(value).copy()
    model.set_param("layers.0.b", value)
    handed_out = model.get_param("layers.0.b")
    for _ in range(2):
        model.module.layers[0].b.assign_add(tf.ones(5))
    for array in (value, handed_out):
        np.testing.assert_array_equal(to_numpy(array), before)


def test_drop_and_seed_follow_from_the_model(ops: Ops) -> None:
    X = floats(ops, 100, 4)

    def outputs(seed: int) -> list[Any]:
        model = stack().initialize(seed=seed)
        return [to_numpy(model.begin_update(X, drop)[0]) for drop in (0.3, 0.3, None)]

    first, again, other = outputs(1), outputs(1), outputs(2)
    assert (first[0] == 0).mean() == pytest.approx(0.3, abs=0.1)
    assert (first[2] == 0).mean() == 0
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[1])


def test_a_function_over_variables(ops: Ops) -> None:
    W, b = tf.Variable(tf.ones((4, 3)), name="W"), tf.Variable(tf.zeros(3), name="b")

    @tf.function
    def affine(X: Any, training: bool) -> Any:
        return X @ W + b + (1.0 if training else 0.0)

    X, dY = floats(ops, 6, 4), floats(ops, 6, 3)
    model = TensorFlowWrapper(affine, [W, b])
    Y, backprop = model.begin_update(X)
    dX = backprop(dY, sgd=SGD(1.0, grad_clip=0))
    np.testing.assert_allclose(to_numpy(Y), to_numpy(X) @ np.ones((4, 3)) + 1, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(dX), to_numpy(dY) @ np.ones((3, 4)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(b.numpy(), -to_numpy(dY).sum(axis=0), rtol=1e-5)
    assert model.param_names == ("W", "b")
    data = model.to_bytes()
    b.assign(tf.zeros(3))
    assert TensorFlowWrapper(affine, {"W": W, "b": b}).from_bytes(data)
    np.testing.assert_allclose(b.numpy(), -to_numpy(dY).sum(axis=0), rtol=1e-5)
    with pytest.raises(ArgumentError, match=r"cannot be copied, pickled or converted: wrap a tf.Module"):
        model.copy()


def test_a_trained_variable_that_was_not_given_is_refused(ops: Ops) -> None:
    W, b = tf.Variable(tf.ones((4, 3))), tf.Variable(tf.zeros(3), name="forgotten")
    model = TensorFlowWrapper(lambda X: X @ W + b, [W])
    with pytest.raises(ArgumentError, match=r"\['forgotten:0'\] are used, and are not among the wrapper's"):
        model.begin_update(floats(ops, 6, 4))


def test_variables_of_the_first_call_are_made_by_the_sample(ops: Ops) -> None:
    class Lazy(tf.Module):
        w: Any = None

        def __call__(self, X: Any) -> Any:
            if self.w is None:
                self.w = tf.Variable(tf.ones((X.shape[-1], 3)), name="w")
            return X @ self.w

    X = floats(ops, 6, 4)
    with pytest.raises(UninitializedError, match=r"has just made its variables .*call model.initialize\(X\)"):
        TensorFlowWrapper(Lazy()).begin_update(X)
    assert check_gradient(TensorFlowWrapper(Lazy()).initialize(X), X)


def test_several_inputs_and_outputs(ops: Ops) -> None:
    class Table(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = tf.Variable(np.arange(36, dtype="float32").reshape(9, 4))

        def __call__(self, ids: Any, X: Any) -> Any:
            return [tf.gather(self.table, ids) * X, (tf.reduce_sum(X, axis=1), ids + 1)]

    model, X = TensorFlowWrapper(Table()), [ids(ops, 6, below=9), floats(ops, 6, 4)]
    Y, backprop = model.begin_update(X)
    assert to_numpy(Y[1][1]).dtype == "int32"
    nothing, dX = backprop([None, (floats(ops, 6) * 0 + 1, None)])
    assert nothing is None
    np.testing.assert_array_equal(to_numpy(dX), np.ones((6, 4)))
    _, backprop = model.begin_update(X)
    backprop([floats(ops, 6, 4), None])
    assert to_numpy(model.get_grad("table")).shape == (9, 4)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint8", "int64", "bool"])
def test_every_dtype_and_layout_goes_in_and_out(ops: Ops, dtype: str) -> None:
    model = TensorFlowWrapper(tf.identity, [])
    plain = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    for array in (plain, plain[::-1], plain.T, plain[:, ::2], plain[:0], plain[0, 1]):
        X = ops.asarray(array, dtype)
        Y = model.predict(X)
        assert str(Y.dtype) == dtype
        np.testing.assert_array_equal(to_numpy(Y), array)


def test_results_are_shared_and_read_only() -> None:
    ops = ops_or_skip(PLAIN)
    model = TensorFlowWrapper(lambda X: X * 2, [], ops=ops)
    Y = model.predict(floats(ops, 6, 4))
    assert not Y.flags.writeable
    assert not Y.flags.owndata


def test_errors_say_what_came_and_what_to_do(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match=r"must be a tf.Module with __call__, or a function, got int"):
        TensorFlowWrapper(5)
    with pytest.raises(ArgumentError, match="got Stack: make one first"):
        TensorFlowWrapper(Stack)
    with pytest.raises(ArgumentError, match="give variables with a function"):
        TensorFlowWrapper(tf.tanh)
    with pytest.raises(ArgumentError, match=r"none with a tf.Module"):
        TensorFlowWrapper(Stack(), [])
    with pytest.raises(ArgumentError, match=r"w of variables must be a tf.Variable, got int"):
        TensorFlowWrapper(tf.tanh, {"w": 5})
    with pytest.raises(DTypeError, match="must return a tensor, or lists and tuples of tensors, got dict"):
        TensorFlowWrapper(lambda X: {"Y": X}, []).begin_update(floats(ops, 2, 3))
    model = stack()
    with pytest.raises(DTypeError, match="expected float32, got float64: convert it"):
        model.set_param("layers.0.b", floats(ops, 5, dtype="float64"))
    with pytest.raises(ValueError, match=r"parameter layers.0.b: expected shape \(5,\), got \(4,\)"):
        model.set_param("layers.0.b", floats(ops, 4))
    with pytest.raises(ArgumentError, match="parameter b cannot be set"):
        model.set_param("b", floats(ops, 4))
    with pytest.raises(TypeError, match=r"layers.0.b"):
        model.set_param("layers.0.b", floats(other_ops(ops), 5))
    assert repr(model) == "TensorFlowWrapper(Stack)"


def test_values_that_are_not_known_yet_are_refused() -> None:
    jax = pytest.importorskip("jax")
    model = TensorFlowWrapper(tf.tanh, [], ops=ops_or_skip("jax"))
    with pytest.raises(ArgumentError, match="JAX is tracing it"):
        jax.make_jaxpr(model.predict)(np.ones((2, 3), dtype="float32"))
