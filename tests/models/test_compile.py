"""Compiled models and train steps do what eager ones do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import triops
from tests.models.cases import CASES, LayerCase
from tests.models.samples import NI, N, classifier, floats, formed, ops_or_skip, params_of, rows_of, shaken
from tests.models.test_layers import like, made, sample
from triops import Model, Ops, Padded, models, to_numpy, use_ops
from triops.models.trees import leaves, map_arrays

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


@pytest.fixture(name="jax_ops")
def jax_ops_or_skip() -> Iterator[Ops]:
    with use_ops(ops_or_skip("jax")) as ops:
        yield ops


def close(one: Any, other: Any) -> None:
    """Float32's accuracy."""
    np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=1e-5, atol=2e-6)


def assert_same_gradients(one: Model, other: Model) -> None:
    for node, twin in zip(one.walk(), other.walk(), strict=True):
        assert node._grads.keys() == twin._grads.keys()
        for name in node._grads:
            close(node.get_grad(name), twin.get_grad(name))


@every_case
def test_a_compiled_layer_is_the_eager_one(case: LayerCase, jax_ops: Ops) -> None:
    """Y, dX, gradients and state, with dropout and without; and a prediction."""
    eager = made(case)
    compiled, X = triops.compile(eager.copy()), sample(case, jax_ops)
    side_by_side = isinstance(X, Padded) or "padded" in case.id
    for drop in (0.0, 0.3):
        if drop and side_by_side:  # a mask goes by the shape, which is another where a batch is filled up
            eager.clear_grads()
            compiled = triops.compile(eager.copy(), fill=False)
        Y, backprop = eager.begin_update(X, drop)
        Z, callback = compiled.begin_update(X, drop)
        assert type(Z) is type(Y)
        dY = like(jax_ops, Y)
        if isinstance(dY, Padded):  # a gradient has nothing where there is no row
            dY = jax_ops.ragged2padded(jax_ops.padded2ragged(dY))
        dX, dZ = backprop(dY), callback(dY)
        for one, other in zip([*leaves(Y), *leaves(dX)], [*leaves(Z), *leaves(dZ)], strict=True):
            if one is not None:
                close(one, other)
        assert_same_gradients(eager, compiled)
        assert [node._state for node in eager.walk()] == [node._state for node in compiled.walk()]
    for one, other in zip(leaves(eager.predict(X)), leaves(compiled.predict(X)), strict=True):
        close(one, other)
    assert compiled.compilations == (2 if side_by_side else 3)


# -- train steps


def pair(model: Model, loss: Any, make: Callable[[], Any]) -> tuple[Callable[..., Any], Any]:
    """An eager step and a compiled one of the model and a copy, with an optimizer each."""
    optimizer = make()

    def eager(X: Any, truths: Any, drop: float = 0.0) -> Any:
        Y, backprop = model.begin_update(X, drop)
        gradient, value = loss(Y, truths)
        backprop(gradient, sgd=optimizer)
        return value

    eager.optimizer = optimizer  # type: ignore[attr-defined]
    return eager, triops.compile_step(model.copy(), loss, make())


def assert_same_models(one: Model, other: Model) -> None:
    for W, V in zip(params_of(one), params_of(other), strict=True):
        np.testing.assert_allclose(V, W, rtol=1e-5, atol=2e-6)


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD": lambda: models.SGD(0.1),
    "SGD without averages": lambda: models.SGD(0.1, use_averages=False, grad_clip=0),
    "L2 in the gradient": lambda: models.SGD(0.1, L2=0.2, L2_is_weight_decay=False),
    "momentum": lambda: models.SGD(0.1, momentum=0.9, nesterov=True),
    "Adam": lambda: models.Adam(0.01),
    "AdamW, a schedule": lambda: models.AdamW([0.01, 0.02, 0.03]),
    "RAdam": lambda: models.RAdam(0.01, L2=0.1),
    "both clips": lambda: models.Adam(0.01, grad_clip=0.05, global_clip=0.01),
    "clipping from a schedule": lambda: models.SGD(0.1, grad_clip=[0.01, 0.0, 0.02]),
    "another's": lambda: Halves(),
    "an own rule": lambda: Own(0.1),
}


class Halves:
    """An optimizer from elsewhere."""

    def __call__(self, key: Any, weights: Any, gradient: Any) -> Any:
        return weights - 0.5 * gradient, gradient


class Own(models.Optimizer):
    """A subclass with an update of its own."""

    def update(
        self, ops: Ops, keys: Any, weights: Any, gradients: Any, learn_rate: float, count: int, decay: float
    ) -> list[Any]:
        return [W - learn_rate / count * dW for W, dW in zip(weights, gradients, strict=True)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_compiled_step_is_the_eager_one(name: str, jax_ops: Ops) -> None:
    model = shaken(classifier().initialize())
    X, labels = floats(jax_ops, N, NI), [0, 2, 1, 1, 0, 2]
    eager, step = pair(model, models.CategoricalCrossentropy(), OPTIMIZERS[name])
    for drop in (0.0, 0.3, 0.3, 0.0):
        close(eager(X, labels, drop), step(X, labels, drop))
    assert_same_models(model, step.model)
    optimizer, other = eager.optimizer, step.optimizer  # type: ignore[attr-defined]
    if getattr(optimizer, "averages", None):
        for node, twin in zip(model.walk(), step.model.walk(), strict=True):
            for param in node.param_names:
                close(optimizer.averages[node.id, param], other.averages[twin.id, param])
    assert getattr(optimizer, "updates", 0) == getattr(other, "updates", 0)


@every_case
def test_every_layer_takes_a_compiled_step(case: LayerCase, jax_ops: Ops) -> None:
    model, X = made(case), sample(case, jax_ops)
    truths = rows_of(jax_ops, like(jax_ops, model.predict(X)))
    truths = jax_ops.asarray(truths)
    step = triops.compile_step(model.copy(), models.L2Distance(), models.SGD(0.1, grad_clip=0))
    losses = [float(step(X, truths))]
    Y, backprop = model.begin_update(X)
    gradient = formed(jax_ops, jax_ops.asarray(rows_of(jax_ops, Y)) - truths, case.gives or case.form)
    backprop(map_arrays(lambda dy: dy / truths.shape[0], gradient), sgd=models.SGD(0.1, grad_clip=0))
    distance = rows_of(jax_ops, Y) - to_numpy(truths)
    assert losses[0] == pytest.approx(0.5 * (distance**2).sum() / len(distance), rel=1e-5)
    assert_same_models(model, step.model)
    assert step.compilations == 1


LOSSES: dict[str, tuple[Callable[[], Any], Callable[[Ops], Any]]] = {
    "labels": (models.CategoricalCrossentropy, lambda ops: [0, 1, 2, 2, 1, 0]),
    "an array of labels": (models.CategoricalCrossentropy, lambda ops: ops.asarray([0, 1, 2, 2, 1, 0])),
    "missing and refuted names": (
        lambda: models.CategoricalCrossentropy(names=["a", "b", "c"], neg_prefix="!", label_smoothing=0.1),
        lambda ops: ["a", None, "!c", "b", "!a", "c"],
    ),
    "distributions": (
        models.CategoricalCrossentropy,
        lambda ops: ops.asarray(np.random.default_rng(1).dirichlet(np.ones(3), N).astype("float32")),
    ),
    "cosine": (lambda: models.CosineDistance(ignore_zeros=True), lambda ops: floats(ops, N, 3, seed=3)),
    "squares": (models.L2Distance, lambda ops: floats(ops, N, 3, seed=4)),
    "a function": (
        lambda: lambda Y, truths: (Y - truths, ((Y - truths) ** 2).sum() / 2),
        lambda ops: floats(ops, N, 3),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_compile(name: str, jax_ops: Ops) -> None:
    make, truths = LOSSES[name]
    model = shaken(classifier().initialize())
    X = floats(jax_ops, N, NI)
    eager, step = pair(model, make(), lambda: models.SGD(0.1))
    for _ in range(2):
        close(eager(X, truths(jax_ops)), step(X, truths(jax_ops)))
    assert_same_models(model, step.model)
    assert step.compilations == 1
