"""Layers of other frameworks in compiled models: refused with a reason, traced, or run between compiled parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import triops
from tests.models.samples import LENGTHS, NI, N, floats, formed, ids, named_params, ops_or_skip, shaken
from triops import Model, Ops, models, to_numpy, use_ops
from triops.errors import ArgumentError, CompileError, ShapeError
from triops.models import SGD, Adam, CategoricalCrossentropy, Dropout, Linear, Relu, Softmax, chain, residual
from triops.models.trees import leaves

LABELS = [0, 2, 1, 1, 0, 2]
W = np.random.default_rng(5).normal(size=(NI, NI)).astype("float32")


def torch_layer(width: int = NI) -> Model:
    torch = pytest.importorskip("torch")
    torch.manual_seed(2)
    return models.PyTorchWrapper(torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.Tanh()))


def fitted(name: str) -> Model:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import SGDClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.preprocessing import StandardScaler

    draws = np.random.default_rng(3)
    X, y = draws.normal(1, 2, (40, NI)).astype("float32"), draws.integers(0, 3, 40)
    made = {"scaler": StandardScaler, "bayes": GaussianNB, "sgd": lambda: SGDClassifier(loss="log_loss")}[name]()
    return models.SklearnWrapper(made.fit(X, y))


def thinc_layer() -> Model:
    thinc = pytest.importorskip("thinc.api")
    return models.ThincWrapper(thinc.Relu(NI, NI).initialize())


class Table(Model):
    """A layer of one's own that looks at values."""

    @property
    def untraceable(self) -> str | None:
        return "it looks numbers up"

    def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
        factor = 2.0 if float(X.sum()) > 0 else 0.5
        return X * factor, lambda dY, sgd=None: dY * factor


def hidden() -> list[Model]:
    return [Relu(NI, NI), Dropout(0.2)]


APART: dict[str, tuple[Callable[[], Model], str]] = {
    "PyTorch": (lambda: chain(*hidden(), torch_layer(), Relu(NI, NI), Softmax(3, NI)), "2:pytorchwrapper"),
    "PyTorch deep inside": (
        lambda: chain(Relu(NI, NI), residual(chain(Linear(NI, NI), torch_layer(), *hidden())), Softmax(3, NI)),
        "1:residual > 0:chain > 1:pytorchwrapper",
    ),
    "PyTorch twice": (lambda: chain(torch_layer(), Relu(NI, NI), torch_layer(), Softmax(3, NI)), "0:pytorchw"),
    "scaler": (lambda: chain(fitted("scaler"), Relu(NI, NI), Softmax(3, NI)), "0:sklearnwrapper"),
    "an own layer": (lambda: chain(Relu(NI, NI), Table(), Softmax(3, NI)), "1:table"),
    "Thinc": (lambda: chain(thinc_layer(), Softmax(3, NI)), "0:thincwrapper"),
}
TRACED: dict[str, Callable[[], Model]] = {
    "function": lambda: chain(Relu(NI, NI), models.JaxWrapper(_function, {"W": W}), Softmax(3, NI)),
    "random function": lambda: chain(models.JaxWrapper(_random, {"W": W}), Softmax(3, NI)),
    "SGDClassifier": lambda: chain(Relu(NI, NI), fitted("sgd")),
}
each_apart = pytest.mark.parametrize("name", APART)


def _function(params: Any, X: Any) -> Any:
    return X @ params["W"]


def _random(params: Any, X: Any, key: Any, drop: Any, train: bool) -> Any:
    import jax

    Y = X @ params["W"]
    return Y * jax.random.bernoulli(key, 1 - drop, Y.shape) if train else Y


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=1e-5, atol=2e-6)


def assert_same_models(one: Model, other: Model) -> None:
    for node, twin in zip(one.walk(), other.walk(), strict=True):
        params = named_params(twin)
        assert node._state == twin._state
        for param, value in named_params(node).items():
            np.testing.assert_allclose(params[param], value, rtol=1e-5, atol=2e-6, err_msg=param)


def three(make: Callable[[], Model], X: Any) -> list[Model]:
    """The same model three times."""
    return [shaken(make().initialize(X, seed=3)) for _ in range(3)]


def train(make: Callable[[], Model], ops: Ops, **settings: Any) -> tuple[Any, Any]:
    """Train eagerly, by callbacks and by steps, side by side; returns what was compiled."""
    loss, X = CategoricalCrossentropy(), floats(ops, N, NI)
    eager, called, stepped = three(make, X)
    compiled = triops.compile(called, **settings)
    step = triops.compile_step(stepped, loss, SGD(0.1, momentum=0.9), **settings)
    optimizers = [SGD(0.1, momentum=0.9) for _ in range(2)]
    for drop in (0.0, 0.3, 0.0):
        Y, backprop = eager.begin_update(X, drop)
        gradient, value = loss(Y, LABELS)
        dX = backprop(gradient)
        eager.finish_update(optimizers[0])
        Z, callback = compiled.begin_update(X, drop)
        close(Z, Y)
        dZ = callback(gradient, sgd=optimizers[1])
        for one, other in zip(leaves(dX), leaves(dZ), strict=True):
            assert (one is None) is (other is None)
            if one is not None:
                close(other, one)
        close(step(X, LABELS, drop), value)
    assert_same_models(eager, called)
    assert_same_models(eager, stepped)
    close(compiled.predict(X), eager.predict(X))
    return compiled, step


@each_apart
def test_what_cannot_be_traced_is_refused(name: str) -> None:
    make, path = APART[name]
    with use_ops(ops_or_skip("jax")):
        model = make()
        for call in (triops.compile, lambda model: triops.compile_step(model, CategoricalCrossentropy(), Adam())):
            with pytest.raises(CompileError, match=rf"chain > {path}.* cannot be compiled: .*give eager=True"):
                call(model)
        compiled = triops.compile(Relu(NI, NI).initialize())
        compiled.layers.append(model)  # later, too
        with pytest.raises(CompileError, match="give eager=True"):
            compiled.predict(floats(compiled.ops, N, NI))


@each_apart
def test_layers_between_compiled_parts_are_as_in_eager_models(name: str) -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        compiled, step = train(APART[name][0], ops, eager=True)
        assert compiled.compilations > 0 < step.compilations


@each_apart
def test_on_numpy_it_simply_works(name: str) -> None:
    with use_ops(ops_or_skip("numpy")) as ops:
        compiled, step = train(APART[name][0], ops)
        assert (compiled.compilations, step.compilations) == (0, 0)


@pytest.mark.parametrize("name", TRACED)
def test_what_can_be_traced_is_one_program(name: str) -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        compiled, step = train(TRACED[name], ops)
        assert (compiled.compilations, step.compilations) == (3, 2)  # with dropout, without, and predict


def test_parts_are_as_large_as_they_can_be() -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        model = chain(*hidden(), Relu(NI, NI), torch_layer(), Relu(NI, NI), Softmax(3, NI))
        compiled, X = triops.compile(model.initialize(), eager=True), floats(ops, N, NI)
        compiled.predict(X)
        assert compiled.compilations == 2
        model.layers[3] = Relu(NI, NI).initialize()  # what is left is compiled as a whole
        close(compiled.predict(X), model.predict(X))
        assert compiled._programs.compilations == 1


def test_parts_leave_the_gradient_of_the_batch_out() -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        model = chain(Relu(NI, NI), torch_layer(), Softmax(3, NI)).initialize()
        twin, X = model.copy(), floats(ops, N, NI)
        Y, backprop = model.begin_update(X)
        Z, callback = triops.compile(twin, eager=True, dX=False).begin_update(X)
        backprop(Y)
        assert callback(Z) is None
        for layer in (0, 2):
            close(twin.layers[layer].get_grad("W"), model.layers[layer].get_grad("W"))


def test_an_estimator_learns_by_examples() -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        X = floats(ops, N, NI)
        eager, stepped = fitted("bayes"), fitted("bayes")
        loss = CategoricalCrossentropy()
        step = triops.compile_step(stepped, loss, SGD(0.1), eager=True)
        for _ in range(2):
            Y, backprop = eager.begin_update(X)
            gradient, value = loss(Y, LABELS)
            backprop(gradient, sgd=SGD(0.1))
            close(step(X, LABELS), value)
        np.testing.assert_array_equal(eager.estimator.theta_, stepped.estimator.theta_)


def test_sequences_go_through_parts() -> None:
    def make() -> Model:
        embed = models.with_array(models.HashEmbed(NI, 30, seed=1))
        tag = models.with_array(Softmax(3, 4))
        return chain(models.list2ragged(), embed, models.with_array(torch_layer()), models.LSTM(4, NI), tag)

    with use_ops(ops_or_skip("jax")) as ops:
        X = formed(ops, ids(ops, N, below=20), "list", LENGTHS)
        eager, called, stepped = three(make, X)
        step = triops.compile_step(stepped, CategoricalCrossentropy(), SGD(0.1), eager=True)
        Y, backprop = eager.begin_update(X)
        gradient, value = CategoricalCrossentropy()(Y.data, LABELS)
        backprop(triops.Ragged(gradient, Y.lengths), sgd=SGD(0.1))
        close(step(X, LABELS), value)
        close(triops.compile(called, eager=True).predict(X).data, Y.data)
        assert_same_models(eager, stepped)


def test_gradients_are_accumulated_through_parts() -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        X, loss = floats(ops, N, NI), CategoricalCrossentropy()
        eager, _, stepped = three(APART["PyTorch"][0], X)
        step = triops.compile_step(stepped, loss, SGD(0.1), eager=True)
        for _ in range(2):
            Y, backprop = eager.begin_update(X)
            backprop(loss.get_grad(Y, LABELS))
        eager.finish_update(SGD(0.1))
        step.accumulate(X, LABELS)
        step(X, LABELS)
        assert_same_models(eager, stepped)


def test_half_precision_between_layers_that_run_as_they_are() -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        X = floats(ops, N, NI)
        eager, called, _ = three(APART["PyTorch deep inside"][0], X)
        compiled = triops.compile(called, eager=True, precision="bfloat16")
        Y = compiled.predict(X)
        assert Y.dtype == "float32"
        assert 0 < float(abs(Y - eager.predict(X)).max()) < 0.05
        with pytest.raises(ArgumentError, match="precision='float16' scales the gradients of the whole model"):
            triops.compile(called, eager=True, precision="float16").predict(X)


def test_errors_in_parts_name_the_layer_within_the_whole_model() -> None:
    class Branches(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
            return (X if float(X.sum()) > 0 else -X), lambda dY, sgd=None: dY

    with use_ops(ops_or_skip("jax")) as ops:
        model = chain(torch_layer(), Relu(NI, NI), Branches(), Softmax(3, NI)).initialize()
        compiled = triops.compile(model, eager=True)
        with pytest.raises(CompileError, match="chain > 2:branches cannot be compiled: it "):
            compiled.predict(floats(ops, N, NI))
        with pytest.raises(ShapeError, match="dimension nI"):
            triops.compile(chain(torch_layer(), Relu(NI, 3)).initialize(), eager=True).predict(floats(ops, N, NI))


def test_a_module_with_its_own_rates_needs_its_rate_in_advance() -> None:
    jax, equinox = pytest.importorskip("jax"), pytest.importorskip("equinox")
    with use_ops(ops_or_skip("jax")) as ops:
        linear = equinox.nn.Linear(NI, 3, key=jax.random.key(0))
        model, X = models.JaxWrapper(linear, vmap=True), floats(ops, N, NI)
        compiled = triops.compile(model)
        close(compiled.begin_update(X)[0], model.begin_update(X)[0])
        with pytest.raises(CompileError, match="rate of dropout of Linear is part of its program"):
            compiled.begin_update(X, 0.5)
