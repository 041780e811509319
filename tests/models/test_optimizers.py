"""Optimizers: PyTorch's steps, formulas in float64, averages, and optimizers from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.models.samples import NI, N, classifier, floats, other_ops, params_of, shaken
from triops import Model, Ops, to_numpy
from triops.errors import ArgumentError, ArrayOwnerError, DTypeError, ShapeError
from triops.models import SGD, Adam, AdamW, CategoricalCrossentropy, Linear, Optimizer, RAdam, Relu, chain

STEPS = 20
SHAPE = (3, 4)
KEY = (0, "W")


def gradients() -> Any:
    return np.random.default_rng(3).normal(size=(STEPS, *SHAPE))


def start() -> Any:
    return np.random.default_rng(2).normal(size=SHAPE)


def run(optimizer: Any, ops: Ops, dtype: str = "float64", **settings: Any) -> Any:
    """The weights after all gradients, as float64 NumPy."""
    W = ops.asarray(start(), dtype=dtype)
    for gradient in gradients():
        W, _ = optimizer(KEY, W, ops.asarray(gradient, dtype=dtype), **settings)
    assert W.dtype == dtype
    return to_numpy(W).astype("float64")


TORCH: dict[str, tuple[Callable[[], Optimizer], Callable[[Any, Any], Any]]] = {
    "SGD": (lambda: SGD(0.1, grad_clip=0), lambda optim, W: optim.SGD(W, lr=0.1)),
    "SGD, L2 in the gradient": (
        lambda: SGD(0.1, L2=0.05, L2_is_weight_decay=False, grad_clip=0),
        lambda optim, W: optim.SGD(W, lr=0.1, weight_decay=0.05),
    ),
    "momentum": (
        lambda: SGD(0.1, momentum=0.9, grad_clip=0),
        lambda optim, W: optim.SGD(W, lr=0.1, momentum=0.9),
    ),
    "momentum, L2 in the gradient": (
        lambda: SGD(0.1, momentum=0.9, L2=0.05, L2_is_weight_decay=False, grad_clip=0),
        lambda optim, W: optim.SGD(W, lr=0.1, momentum=0.9, weight_decay=0.05),
    ),
    "Nesterov": (
        lambda: SGD(0.1, momentum=0.9, nesterov=True, grad_clip=0),
        lambda optim, W: optim.SGD(W, lr=0.1, momentum=0.9, nesterov=True),
    ),
    "Adam": (lambda: Adam(0.01, grad_clip=0), lambda optim, W: optim.Adam(W, lr=0.01)),
    "Adam, other settings": (
        lambda: Adam(0.01, beta1=0.7, beta2=0.9, eps=1e-3, grad_clip=0),
        lambda optim, W: optim.Adam(W, lr=0.01, betas=(0.7, 0.9), eps=1e-3),
    ),
    "Adam, L2 in the gradient": (
        lambda: Adam(0.01, L2=0.05, L2_is_weight_decay=False, grad_clip=0),
        lambda optim, W: optim.Adam(W, lr=0.01, weight_decay=0.05),
    ),
    "Adam, L2 as decay": (
        lambda: Adam(0.01, L2=0.05, grad_clip=0),
        lambda optim, W: optim.AdamW(W, lr=0.01, weight_decay=0.05),
    ),
    "AdamW": (lambda: AdamW(0.01, grad_clip=0), lambda optim, W: optim.AdamW(W, lr=0.01)),
    "RAdam": (lambda: RAdam(0.01, grad_clip=0), lambda optim, W: optim.RAdam(W, lr=0.01)),
    "RAdam, short memory": (
        lambda: RAdam(0.01, beta2=0.9, grad_clip=0),
        lambda optim, W: optim.RAdam(W, lr=0.01, betas=(0.9, 0.9)),
    ),
    "RAdam, L2 in the gradient": (
        lambda: RAdam(0.01, L2=0.05, L2_is_weight_decay=False, grad_clip=0),
        lambda optim, W: optim.RAdam(W, lr=0.01, weight_decay=0.05),
    ),
    "RAdam, L2 as decay": (
        lambda: RAdam(0.01, L2=0.05, grad_clip=0),
        lambda optim, W: optim.RAdam(W, lr=0.01, weight_decay=0.05, decoupled_weight_decay=True),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_steps_are_pytorchs(name: str, ops: Ops) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = TORCH[name]
    W = torch.nn.Parameter(torch.tensor(start()))
    optimizer = theirs(torch.optim, [W])
    for gradient in gradients():
        W.grad = torch.tensor(gradient)
        optimizer.step()
    expected = W.detach().numpy()
    # JAX holds a Python number beside an array as float32, here L2 in the gradient.
    rtol = 1e-10 if ops.name == "numpy" else 1e-6
    np.testing.assert_allclose(run(ours(), ops), expected, rtol=rtol)
    np.testing.assert_allclose(run(ours(), ops, "float32"), expected, rtol=1e-4, atol=1e-5)


OPTIMIZERS = [
    lambda: SGD(0.1),
    lambda: SGD(0.1, momentum=0.9),
    lambda: Adam(0.01),
    lambda: AdamW(),
    lambda: RAdam(),
]
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS)


@every_optimizer
def test_what_goes_in_stays_as_it_was(make: Callable[[], Optimizer], ops: Ops) -> None:
    W, gradient = floats(ops, *SHAPE), floats(ops, *SHAPE, seed=2)
    before = to_numpy(W).copy(), to_numpy(gradient).copy()
    optimizer = make()
    for _ in range(3):
        new, returned = optimizer(KEY, W, gradient)
        assert returned is gradient
        assert new is not W
    np.testing.assert_array_equal(to_numpy(W), before[0])
    np.testing.assert_array_equal(to_numpy(gradient), before[1])


@every_optimizer
def test_each_key_has_a_memory_of_its_own(make: Callable[[], Optimizer], ops: Ops) -> None:
    apart, together = [make(), make()], make()
    for step in range(3):
        for number in range(2):
            W, gradient = floats(ops, *SHAPE), floats(ops, *SHAPE, seed=10 * number + step)
            alone = apart[number](KEY, W, gradient)[0]
            np.testing.assert_array_equal(to_numpy(together((number, "W"), W, gradient)[0]), to_numpy(alone))


@every_optimizer
def test_an_empty_parameter_stays_empty(make: Callable[[], Optimizer], ops: Ops) -> None:
    empty = ops.alloc((0, 3))
    assert make()(KEY, empty, empty)[0] is empty


def test_weight_decay_is_taken_off_the_weights(ops: Ops) -> None:
    W, zeros = floats(ops, *SHAPE, dtype="float64"), ops.alloc(SHAPE, dtype="float64")
    for optimizer in (SGD(0.5, L2=0.1), Adam(0.5, L2=0.1), RAdam(0.5, L2=0.1), SGD(0.5, momentum=0.9, L2=0.1)):
        np.testing.assert_allclose(to_numpy(optimizer(KEY, W, zeros)[0]), 0.95 * to_numpy(W), rtol=1e-12)


def test_a_gradient_is_clipped_by_its_norm(ops: Ops) -> None:
    W, gradient = ops.alloc(SHAPE, dtype="float64"), floats(ops, *SHAPE, dtype="float64")
    norm = np.linalg.norm(to_numpy(gradient))
    for clip, expected in ((0.5, 0.5), (norm * 2, norm), (0, norm)):
        step = to_numpy(SGD(1.0, grad_clip=clip)(KEY, W, gradient)[0])
        assert np.linalg.norm(step) == pytest.approx(expected, rel=1e-9)
    assert np.linalg.norm(to_numpy(SGD(1.0)(KEY, W, 10 * gradient)[0])) == pytest.approx(1, rel=1e-9)


def test_all_gradients_are_clipped_by_one_norm(ops: Ops) -> None:
    shapes = {(0, "W"): (3, 4), (0, "b"): (4,), (1, "W"): (2, 0)}
    start = {key: ops.alloc(shape, dtype="float64") for key, shape in shapes.items()}
    gradients = {key: floats(ops, *shape, seed=5, dtype="float64") for key, shape in shapes.items()}
    norm = np.sqrt(sum(float(np.square(to_numpy(each)).sum()) for each in gradients.values()))
    for clip, factor in ((0.5, 0.5 / norm), (2 * norm, 1), (0, 1)):
        optimizer = SGD(1.0, grad_clip=0, global_clip=clip)
        updated = optimizer.update_all({key: (start[key], gradients[key]) for key in shapes})
        for key, W in updated.items():
            np.testing.assert_allclose(to_numpy(W), -factor * to_numpy(gradients[key]), rtol=1e-9)


@every_optimizer
def test_all_at_once_is_one_after_the_other(make: Callable[[], Optimizer], ops: Ops) -> None:
    shapes = {(0, "W"): (3, 4), (0, "b"): (4,), (1, "W"): (2, 0), (1, "b"): (5, 1)}
    optimizers = [make(), make()]
    weights = [{key: floats(ops, *shape, seed=key[0]) for key, shape in shapes.items()} for _ in optimizers]
    for step in range(4):
        # The last one joins later, and so its moments are younger.
        keys = [key for key in shapes if step or key != (1, "b")]
        gradients = {key: floats(ops, *shapes[key], seed=10 + step) for key in keys}
        weights[0] |= optimizers[0].update_all({key: (weights[0][key], gradients[key]) for key in keys})
        for key in keys:
            weights[1][key], _ = optimizers[1](key, weights[1][key], gradients[key])
    for key in shapes:
        np.testing.assert_allclose(to_numpy(weights[0][key]), to_numpy(weights[1][key]), rtol=1e-6)
    averages = [optimizer.averages for optimizer in optimizers]
    assert averages[0] is not None
    assert averages[0].keys() == averages[1].keys()


def test_a_model_that_cannot_be_updated_keeps_its_weights(ops: Ops) -> None:
    model = chain(Relu(4, NI), Linear(3, 4)).initialize()
    _, backprop = model.begin_update(floats(ops, N, NI))
    backprop(floats(ops, N, 3))
    before, calls = params_of(model), []

    def second_fails(key: Any, weights: Any, gradient: Any) -> Any:
        calls.append(key)
        if len(calls) == 2:
            raise ZeroDivisionError("on purpose")
        return weights + 1, gradient

    with pytest.raises(ZeroDivisionError):
        model.finish_update(second_fails)
    for a, b in zip(params_of(model), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(layer.has_grad("W") for layer in model.layers)


def test_lr_scale_is_a_factor_on_one_call(ops: Ops) -> None:
    for make in (lambda rate: SGD(rate, L2=0.1, grad_clip=0), lambda rate: Adam(rate, L2=0.1)):
        np.testing.assert_allclose(run(make(0.1), ops, lr_scale=0.5), run(make(0.05), ops), rtol=1e-12)


def test_averages_warm_up_from_the_first_weights(ops: Ops) -> None:
    optimizer = SGD(0.1, grad_clip=0)
    W = ops.asarray(start(), dtype="float64")
    average = None
    for count, gradient in enumerate(gradients(), 1):
        W, _ = optimizer(KEY, W, ops.asarray(gradient, dtype="float64"))
        decay = min((1 + count) / (10 + count), 0.9999)
        average = to_numpy(W) if average is None else decay * average + (1 - decay) * to_numpy(W)
    assert optimizer.averages is not None
    np.testing.assert_allclose(to_numpy(optimizer.averages[KEY]), average, rtol=1e-9)
    assert SGD(0.1, use_averages=False).averages is None


def step(model: Model, optimizer: Any, seed: int = 1) -> None:
    Yh, backprop = model.begin_update(floats(model.ops, N, NI, seed=seed))
    backprop(CategoricalCrossentropy().get_grad(Yh, [0, 1, 2, 0, 1, 2]), sgd=optimizer)


def test_a_model_predicts_with_its_averages_for_a_block(ops: Ops) -> None:
    model, optimizer = classifier().initialize(), Adam(0.1)
    for seed in range(4):
        step(model, optimizer, seed)
    X, before = floats(ops, N, NI), params_of(model)
    usual = to_numpy(model.predict(X))
    assert optimizer.averages is not None
    with model.use_params(optimizer.averages):
        averaged = to_numpy(model.predict(X))
        saved = model.to_bytes()
    assert not np.allclose(averaged, usual, rtol=1e-3)
    np.testing.assert_array_equal(to_numpy(classifier().from_bytes(saved).predict(X)), averaged)
    with pytest.raises(KeyError), model.use_params(optimizer.averages):
        raise KeyError
    for a, b in zip(params_of(model), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_models_share_an_optimizer(ops: Ops) -> None:
    optimizer = Adam(0.1)
    pair = [shaken(classifier().initialize(), seed) for seed in (1, 50)]
    alone = [model.copy() for model in pair]
    for _ in range(3):
        for model in pair:
            step(model, optimizer)
    for model, twin in zip(pair, alone, strict=True):
        own = Adam(0.1)
        for _ in range(3):
            step(twin, own)
        for a, b in zip(params_of(model), params_of(twin), strict=True):
            np.testing.assert_array_equal(a, b)


# -- optimizers from elsewhere


def thinc_optimizers() -> list[Any]:
    from thinc import api

    return [api.SGD(0.1), api.Adam(0.01, L2=0.01), api.RAdam(0.01), api.Adam(api.warmup_linear(0.01, 2, 10))]


def network() -> Model:
    return chain(Relu(4, NI, normalize=True), classifier(3, 4))


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("loaded", [False, True])
def test_thincs_optimizers_train_a_numpy_model(which: int, loaded: bool) -> None:
    pytest.importorskip("thinc")
    model = network().initialize()
    if loaded:
        model = network().from_bytes(model.to_bytes())
    before = [w.copy() for w in params_of(model)]
    optimizer = thinc_optimizers()[which]
    X, labels = floats(model.ops, N, NI), [0, 1, 2, 0, 1, 2]
    loss = CategoricalCrossentropy()
    first = float(loss.get_loss(model.predict(X), labels))
    for _ in range(8):
        Yh, backprop = model.begin_update(X)
        backprop(loss.get_grad(Yh, labels))
        model.finish_update(optimizer)
        optimizer.step_schedules()
    changed = [not np.array_equal(a, b) for a, b in zip(before, params_of(model), strict=True)]
    assert all(changed)
    assert float(loss.get_loss(model.predict(X), labels)) < first
    with model.use_params(optimizer.averages):
        model.predict(X)


def test_thincs_sgd_takes_the_same_steps() -> None:
    api = pytest.importorskip("thinc.api")
    ours, theirs = classifier().initialize(), classifier().initialize()
    for _ in range(3):
        step(ours, SGD(0.1))
        step(theirs, api.SGD(0.1, grad_clip=1.0))
    for a, b in zip(params_of(ours), params_of(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


# -- errors


def test_shapes_that_differ_are_named(ops: Ops) -> None:
    optimizer = Adam()
    W = floats(ops, *SHAPE)
    with pytest.raises(
        ShapeError, match=r"Adam: gradient of \(0, 'W'\) must have the shape.*\(3, 4\), got \(4, 3\)"
    ):
        optimizer(KEY, W, W.T)
    optimizer(KEY, W, W)
    with pytest.raises(ShapeError, match=r"Adam: weights of \(0, 'W'\) had shape \(3, 4\).*got \(4, 3\)"):
        optimizer(KEY, W.T, W.T)


def test_dtypes_and_owners_that_differ_are_named(ops: Ops) -> None:
    W = floats(ops, *SHAPE)
    with pytest.raises(DTypeError, match="float64"):
        SGD(0.1, grad_clip=0)(KEY, W, ops.asarray(W, dtype="float64"))
    with pytest.raises(ArrayOwnerError, match="gradient"):
        SGD(0.1)(KEY, W, other_ops(ops).asarray(W))
    with pytest.raises(DTypeError, match="got list"):
        SGD(0.1)(KEY, W, [1.0])


def test_an_optimizer_that_fails_in_a_model_says_for_which_layer(ops: Ops) -> None:
    model = chain(Relu(4, NI), Linear(3, 4)).initialize()
    model.layers[1].set_grad("W", floats(ops, 2, 2))
    with pytest.raises(ShapeError, match=r"^chain > 1:linear: gradient of W: expected the param"):
        model.finish_update(SGD(0.1))

    def broken(key: Any, weights: Any, gradient: Any) -> Any:
        raise ZeroDivisionError("on purpose")

    model.layers[1].set_grad("W", floats(ops, 3, 4))
    with pytest.raises(ZeroDivisionError) as caught:
        model.finish_update(broken)
    assert caught.value.__notes__ == ["in layer chain > 1:linear"]


def test_settings_are_checked_when_they_are_set() -> None:
    optimizer = Adam(0.1)
    with pytest.raises(ArgumentError, match="learn_rate must be a finite number from 0, got -1"):
        optimizer.learn_rate = -1
    optimizer.learn_rate = 0.5
    assert optimizer.learn_rate == 0.5
    with pytest.raises(TypeError):
        Adam(0.1, learning_rate=3)
