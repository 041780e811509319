"""Compiled models and steps in half precision: as near to float32 as it can be, with parameters of float32."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import triops
from tests.models.cases import CASES, LayerCase
from tests.models.samples import LENGTHS, NI, N, classifier, floats, ids, ops_or_skip, params_of, shaken
from tests.models.test_layers import like, made, sample
from triops import Model, Ops, Padded, Ragged, models, to_numpy, use_ops
from triops.errors import ArgumentError
from triops.models import SGD, Adam, CategoricalCrossentropy, L2Distance, Linear, Relu, Softmax, chain
from triops.models.compile import precision as setting
from triops.models.trees import leaves

LABELS = [0, 2, 1, 1, 0, 2]
HALF = {"bfloat16": 0.03, "float16": 0.004}  # what a result may be off, as a share of the largest

half = pytest.mark.parametrize("precision", HALF)


@pytest.fixture(name="jax_ops")
def jax_ops_or_skip() -> Iterator[Ops]:
    with use_ops(ops_or_skip("jax")) as ops:
        yield ops


def near(one: Any, other: Any, share: float) -> None:
    assert one.dtype == other.dtype == "float32"
    one, other = to_numpy(one), to_numpy(other)
    np.testing.assert_allclose(other, one, atol=share * max(abs(one).max(initial=0), 1e-6), rtol=0)


def gradients_of(model: Model) -> list[Any]:
    return [gradient for node in model.walk() for gradient in node._grads.values()]


FEW = {
    "LSTM", "MultiHeadAttention-ragged", "LayerNorm", "HashEmbed", "HashEmbedBag-mean list", "SparseLinear",
    "Maxout-all", "Gelu-all", "Softmax", "residual-padded", "concatenate-list", "with_array-ids",
    "softmax_activation", "ParametricAttention-list",
}  # fmt: skip


@half
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[] if case.id in FEW else pytest.mark.slow, id=case.id) for case in CASES],
)
def test_layers_are_near_to_float32(case: LayerCase, precision: str, jax_ops: Ops) -> None:
    """Y, dX and gradients."""
    eager, X = made(case), sample(case, jax_ops)
    compiled = triops.compile(eager.copy(), precision=precision)
    if precision == "float16":
        compiled.loss_scale = 16.0
    (Y, backprop), (Z, callback) = eager.begin_update(X), compiled.begin_update(X)
    dY = like(jax_ops, Y)
    if isinstance(dY, Padded):  # a gradient has nothing where there is no row
        dY = jax_ops.ragged2padded(jax_ops.padded2ragged(dY))
    pairs = [(Y, Z), (backprop(dY), callback(dY)), (gradients_of(eager), gradients_of(compiled))]
    for trees in pairs:
        for one, other in zip(*map(leaves, trees), strict=True):
            if one is None or one.dtype != "float32":
                assert type(other) is type(one)
            else:
                near(one, other, 4 * HALF[precision])


class Seen(Model):
    """Y = X W, and what the dtypes are."""

    def __init__(self) -> None:
        super().__init__(dims={"nI": NI})
        self.add_param("W", ("nI",))

    dtypes: list[str]

    def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
        W = self.get_param("W")
        self.dtypes.extend([X.dtype.name, W.dtype.name])

        def backprop(dY: Any, sgd: Any = None) -> Any:
            self.dtypes.append(dY.dtype.name)
            self.inc_grad("W", (dY * X).sum(axis=0))
            return dY * W

        return X * W, backprop


class SeenInFull(Seen):
    full_precision = True


@half
@pytest.mark.parametrize("kind", [Seen, SeenInFull])
def test_what_layers_compute_in(kind: type[Seen], precision: str, jax_ops: Ops) -> None:
    kind.dtypes = []
    layer = kind()
    model = shaken(chain(Linear(NI, NI), layer, layer, Softmax(3, NI)).initialize())
    step = triops.compile_step(model, CategoricalCrossentropy(), Adam(0.1), precision=precision)
    step(floats(jax_ops, N, NI), LABELS)
    step.accumulate(floats(jax_ops, N, NI), LABELS)
    assert set(kind.dtypes) == {"float32" if kind is SeenInFull else precision}
    assert {gradient.dtype for gradient in gradients_of(model)} == {np.dtype("float32")}
    assert {W.dtype for W in params_of(model)} == {np.dtype("float32")}


def tagger() -> Model:
    embed = models.with_array(models.HashEmbed(16, 50, seed=1))
    encode = models.residual(
        chain(models.expand_window(1), models.with_array(models.Maxout(16, 48, normalize=True)))
    )
    return chain(embed, encode, models.with_array(Softmax(3, 16)))


@half
def test_training_converges_as_in_float32(precision: str, jax_ops: Ops) -> None:
    X = Ragged(ids(jax_ops, N, below=40), jax_ops.asarray(np.array(LENGTHS, "int32")))
    losses, saved = {}, {}
    for name in (precision, "float32"):
        model = tagger().initialize(seed=3)
        step = triops.compile_step(model, CategoricalCrossentropy(), Adam(0.02), precision=name)
        losses[name] = [float(step(X, LABELS, drop=0.1)) for _ in range(40)]
        saved[name] = model.to_bytes()
    assert losses[precision][-1] < 0.05 * losses[precision][0]
    np.testing.assert_allclose(losses[precision], losses["float32"], atol=0.02)
    assert len(saved[precision]) == len(saved["float32"])
    again = tagger().to(ops_or_skip("numpy")).from_bytes(saved[precision])
    assert {W.dtype for W in params_of(again)} == {np.dtype("float32")}


def test_the_loss_is_computed_in_float32(jax_ops: Ops) -> None:
    """Half precision has no number between 0.99609 and 1, and no square of a thousand."""
    model = Softmax(2, 1).initialize()
    model.set_param("W", jax_ops.asarray([[7.0], [0.0]]))
    X = jax_ops.asarray([[1.0]])
    Y = triops.compile(model, precision="bfloat16").predict(X)
    np.testing.assert_allclose(to_numpy(Y)[0, 1], 1 / (1 + np.exp(7.0)), rtol=1e-5)
    linear = Linear(1, 1).initialize()
    linear.set_param("W", jax_ops.asarray([[1000.0]]))
    step = triops.compile_step(linear, L2Distance(), SGD(0.1), precision="float16")
    assert float(step(X, jax_ops.asarray([[0.0]]))) == 500000.0


# -- the scale of float16


def state_of(optimizer: Any) -> Any:
    tables = [optimizer.mom1, optimizer.mom2, optimizer.averages]
    arrays = [{key: to_numpy(array).copy() for key, array in table.items()} for table in tables]
    return arrays, dict(optimizer.nr_update), optimizer.updates


def assert_nothing_changed(before: Any, after: Any) -> None:
    for one, other in zip(before[0], after[0], strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
    assert before[1:] == after[1:]


@pytest.mark.parametrize("steps", [0, 2])
def test_an_overflow_is_skipped(steps: int, jax_ops: Ops) -> None:
    model, X = shaken(classifier().initialize()), floats(jax_ops, N, NI)
    optimizer = Adam([0.01, 0.02, 0.03, 0.04])
    step = triops.compile_step(model, CategoricalCrossentropy(), optimizer, precision="float16")
    for _ in range(steps):
        step(X, LABELS, drop=0.2)
    step.accumulate(X, LABELS)
    params, state = params_of(model), state_of(optimizer)
    grads = [to_numpy(gradient) for gradient in gradients_of(model)]
    drawn = [dict(node._state) for node in model.walk()]
    step.loss_scale = 2.0**24
    assert np.isfinite(float(step(X, LABELS, drop=0.2)))
    assert step.loss_scale == 2.0**23
    for one, other in zip(params, params_of(model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert_nothing_changed(state, state_of(optimizer))
    for gradient, other in zip(grads, gradients_of(model), strict=True):
        np.testing.assert_array_equal(gradient, to_numpy(other))
    assert [node._state for node in model.walk()] == drawn
    while step.loss_scale > 2.0**12:  # it goes on halving until it fits
        before = step.loss_scale
        step(X, LABELS)
        if step.loss_scale == before:
            break
    assert optimizer.updates == steps + 1
    assert not gradients_of(model)
    assert all(np.isfinite(W).all() for W in params_of(model))


def test_the_scale_grows_after_good_steps(jax_ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting, "GOOD_STEPS", 3)
    model, X = classifier().initialize(), floats(jax_ops, N, NI)
    step = triops.compile_step(model, CategoricalCrossentropy(), Adam(0.01), precision="float16")
    step.loss_scale = 8.0
    scales = []
    for _ in range(7):
        step(X, LABELS)
        scales.append(step.loss_scale)
    assert scales == [8.0, 8.0, 16.0, 16.0, 16.0, 32.0, 32.0]
    assert step.compilations == 1


def test_the_scale_keeps_small_gradients(jax_ops: Ops) -> None:
    """1e-7 of a gradient is nothing in float16, and is something when it is scaled."""
    X, Y = floats(jax_ops, N, NI), floats(jax_ops, N, NI)
    found = {}
    for scale in (1.0, 2.0**15):
        compiled = triops.compile(shaken(Linear(NI, NI).initialize()), precision="float16")
        compiled.loss_scale = scale
        _, backprop = compiled.begin_update(X)
        backprop(1e-9 * Y)
        found[scale] = to_numpy(compiled.get_grad("W"))
    expected = 1e-9 * to_numpy(Y).T @ to_numpy(X)
    np.testing.assert_allclose(found[2.0**15], expected, atol=0.01 * abs(expected).max())
    assert not found[1.0].any()


def test_an_overflow_of_a_callback_teaches_nothing(jax_ops: Ops) -> None:
    model, X = shaken(classifier().initialize()), floats(jax_ops, N, NI)
    compiled, optimizer = triops.compile(model, precision="float16"), Adam(0.1)
    compiled.loss_scale = 2.0**20
    params = params_of(model)
    (Y, backprop), (_, another) = compiled.begin_update(X), compiled.begin_update(X)
    dX = backprop(Y, sgd=optimizer)
    assert dX.dtype == "float32"
    assert not to_numpy(dX).any()
    assert not gradients_of(model)
    assert optimizer.updates == 0
    for one, other in zip(params, params_of(model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert compiled.loss_scale == 2.0**19
    compiled.loss_scale = 16.0
    assert to_numpy(another(Y, sgd=optimizer)).any()  # the scale of now, not that of its forward pass
    assert optimizer.updates == 1


def test_an_overflow_does_not_reach_an_optimizer_from_elsewhere(jax_ops: Ops) -> None:
    calls = []

    def halve(key: Any, weights: Any, gradient: Any) -> Any:
        calls.append(key)
        return weights - 0.5 * gradient, gradient

    model, X = shaken(classifier().initialize()), floats(jax_ops, N, NI)
    step = triops.compile_step(model, CategoricalCrossentropy(), halve, precision="float16")
    step.loss_scale = 2.0**24
    step(X, LABELS)
    assert (calls, step.loss_scale) == ([], 2.0**23)
    step.loss_scale = 16.0
    step(X, LABELS)
    assert len(calls) == 4


class Adds(Model):
    """Y = X, and a gradient that comes in bit by bit."""

    def __init__(self) -> None:
        super().__init__()
        self.add_param("W", (1,))

    def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
        def backprop(dY: Any, sgd: Any = None) -> Any:
            for part in (16.0, 0.0625, 0.0625, 0.0625, 0.0625):
                self.inc_grad("W", 0 * dY[0] + part)
            return dY

        return X, backprop


def test_gradients_add_up_in_float32(jax_ops: Ops) -> None:
    """A sum in bfloat16 would stay at 16."""
    model = chain(Linear(1, 1), Adds()).initialize()
    X = jax_ops.asarray([[1.0]])
    compiled = triops.compile(model, precision="bfloat16")
    compiled.begin_update(X)[1](X)
    step = triops.compile_step(model, L2Distance(), SGD(1.0, grad_clip=0), precision="bfloat16")
    step(X, X)
    assert float(to_numpy(model.layers[1].get_param("W"))[0]) == -32.5


# -- wrong arguments


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "name": (
        lambda: triops.compile(Linear(2, 2), precision="fp16"),
        r"compile: precision must be one of \['bfloat16', 'float16', 'float32'\], got 'fp16'",
    ),
    "backend": (
        lambda: triops.compile_step(
            Linear(2, 2).to(ops_or_skip("numpy")), L2Distance(), Adam(), precision="bfloat16"
        ),
        r"precision='bfloat16' needs a backend that compiles, and numpy does not: leave precision out, or move "
        r"the model with model.to\('jax'\)",
    ),
    "a backend later": (
        lambda: (
            triops.compile(Linear(2, 2).initialize(), precision="float16")
            .to(ops_or_skip("numpy"))
            .predict(floats(ops_or_skip("numpy"), 1, 2))
        ),
        "and numpy does not",
    ),
    "wide parameters": (
        lambda: triops.compile(
            chain(Relu(2, 2), Linear(2, 2)).initialize().astype("float64"), precision="bfloat16"
        ).predict(floats(triops.get_current_ops(), 1, 2)),
        r"W of chain > 0:relu is float64: convert them with model.astype\('float32'\)",
    ),
    "no scale": (
        lambda: setattr(triops.compile(Linear(2, 2), precision="bfloat16"), "loss_scale", 2.0),
        "loss_scale is for precision='float16', and this is 'bfloat16'",
    ),
    "scale": (
        lambda: setattr(triops.compile(Linear(2, 2), precision="float16"), "loss_scale", 0.0),
        "loss_scale must be from .* to .*, got 0.0",
    ),
    "no number": (
        lambda: setattr(triops.compile(Linear(2, 2), precision="float16"), "loss_scale", "16"),
        "loss_scale must be from .* to .*, got '16'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str, jax_ops: Ops) -> None:
    call, message = WRONG[name]
    with pytest.raises(ArgumentError, match=message):
        call()


def test_float32_is_what_it_was(ops: Ops) -> None:
    model, X = shaken(classifier().initialize()), floats(ops, N, NI)
    compiled = triops.compile(model, precision="float32")
    np.testing.assert_array_equal(to_numpy(compiled.predict(X)), to_numpy(triops.compile(model).predict(X)))
    step = triops.compile_step(model, CategoricalCrossentropy(), Adam(0.1), precision="float32")
    step(X, LABELS)
    assert (compiled.loss_scale, step.loss_scale) == (1.0, 1.0)


def test_a_copy_computes_alike(jax_ops: Ops) -> None:
    compiled, X = triops.compile(shaken(Linear(3, NI).initialize()), precision="bfloat16"), floats(jax_ops, N, NI)
    np.testing.assert_array_equal(to_numpy(compiled.copy().predict(X)), to_numpy(compiled.predict(X)))


@pytest.mark.parametrize(
    "again", [Model.copy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copy_goes_on_with_the_scale(again: Callable[[Model], Any], jax_ops: Ops) -> None:
    compiled, X = triops.compile(shaken(Linear(3, NI).initialize()), precision="float16"), floats(jax_ops, N, NI)
    compiled.loss_scale = 2.0**20
    twin = again(compiled)
    assert twin.loss_scale == 2.0**20
    Y, backprop = twin.begin_update(X)
    backprop(1e6 * Y)
    assert (twin.loss_scale, compiled.loss_scale) == (2.0**19, 2.0**20)
    assert twin.id != compiled.id
