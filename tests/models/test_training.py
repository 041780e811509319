"""Models learn, and learn the same on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.models.samples import ops_or_skip, params_of
from triops import Model, Ops, fix_random_seed, to_numpy, use_ops
from triops.models import (
    SGD,
    Adam,
    CategoricalCrossentropy,
    Embed,
    L2Distance,
    Linear,
    Maxout,
    Mish,
    RAdam,
    Relu,
    Sigmoid,
    Softmax,
    chain,
    concatenate,
    residual,
)

ROWS, WIDTH, CLASSES = 48, 6, 3


def problem() -> tuple[Any, list[int]]:
    """Points around three centres, and which one it was."""
    draws = np.random.default_rng(0)
    centres = 2 * draws.normal(size=(CLASSES, WIDTH))
    labels = draws.integers(0, CLASSES, ROWS)
    return (centres[labels] + 0.5 * draws.normal(size=(ROWS, WIDTH))).astype("float32"), labels.tolist()


def network() -> Model:
    return Maxout(8, normalize=True) >> residual(Mish()) >> (Relu(4) | Linear(4)) >> Softmax()


def train(model: Model, optimizer: Any, *, drop: float = 0.0, steps: int = 20) -> list[float]:
    """The loss of each step."""
    points, labels = problem()
    X = model.ops.asarray(points)
    Y = model.ops.asarray(np.eye(CLASSES)[labels])
    model.initialize(X, Y, seed=1)
    loss_function, losses = CategoricalCrossentropy(), []
    for _ in range(steps):
        Yh, backprop = model.begin_update(X, drop=drop)
        gradient, loss = loss_function(Yh, labels)
        backprop(gradient, sgd=optimizer)
        losses.append(float(loss))
    return losses


@pytest.mark.parametrize(
    ("make", "drop"), [(lambda: SGD(1.0), 0.0), (lambda: Adam(0.03), 0.1), (lambda: RAdam(0.3), 0.0)]
)
def test_a_model_learns(make: Callable[[], Any], drop: float, ops: Ops) -> None:
    model = network()
    losses = train(model, make(), drop=drop)
    points, labels = problem()
    assert losses[0] == pytest.approx(np.log(CLASSES), rel=1e-4)
    assert losses[-1] < 0.4 * losses[0]
    guesses = to_numpy(model.predict(ops.asarray(points))).argmax(axis=1)
    assert (guesses == labels).mean() > 0.95


@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_the_same_training_gives_the_same_weights_on_every_backend(drop: float, ops: Ops) -> None:
    model = network()
    losses = train(model, Adam(0.01), drop=drop)
    with use_ops(ops_or_skip("numpy")):
        reference = network()
    expected = train(reference, Adam(0.01), drop=drop)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for here, there in zip(params_of(model), params_of(reference), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-3, atol=2e-4)


def test_training_repeats_bit_for_bit(ops: Ops) -> None:
    first, second = network(), network()
    assert train(first, Adam(0.01), drop=0.2, steps=4) == train(second, Adam(0.01), drop=0.2, steps=4)
    assert first.to_bytes() == second.to_bytes()


def test_embeddings_learn(ops: Ops) -> None:
    fix_random_seed(3)
    X = ops.asarray(np.arange(ROWS) % 6, dtype="int32")
    labels = [int(i) % 3 for i in range(ROWS)]
    model = chain(Embed(4, 6), Softmax(3)).initialize(X)
    optimizer, loss_function = Adam(0.2), CategoricalCrossentropy()
    for _ in range(20):
        Yh, backprop = model.begin_update(X)
        assert backprop(loss_function.get_grad(Yh, labels), sgd=optimizer) is None
    assert (to_numpy(model.predict(X)).argmax(axis=1) == labels).all()


@pytest.mark.parametrize("last", [Linear, Sigmoid])
def test_a_regression_learns(last: Any, ops: Ops) -> None:
    points, labels = problem()
    X, Y = ops.asarray(points), ops.asarray(np.eye(CLASSES)[labels])
    model = concatenate(Relu(8), Linear(4)) >> last()
    model.initialize(X, Y, seed=1)
    optimizer, loss_function, losses = Adam(0.05, grad_clip=0.0), L2Distance(), []
    for _ in range(30):
        Yh, backprop = model.begin_update(X)
        gradient, loss = loss_function(Yh, Y)
        backprop(gradient, sgd=optimizer)
        losses.append(float(loss))
    assert losses[-1] < 0.2 * losses[0]
