"""A user's layer implements `begin_update`; everything else works by itself."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.own_layers import (
    Bare,
    Block,
    IgnoresSgd,
    Memory,
    Power,
    Scale,
    TwoLayers,
    UsesSgd,
    failing,
    predictions,
)
from tests.models.samples import NI, N, floats, other_ops, params_of, shaken
from triops import Model, Ops, check_gradient, to_numpy, use_ops
from triops.errors import LoadError, ShapeError, TriopsError, UninitializedError
from triops.models import SGD, Adam, L2Distance, Linear, Relu, Softmax, chain, residual

MAKERS: dict[str, Callable[[], Model]] = {
    "declared": lambda: Scale(NI),
    "bare": lambda: Bare(NI),
    "inherited": lambda: IgnoresSgd(NI),
    "base's callback": lambda: UsesSgd(NI),
    "no parameters": lambda: Power(2.0),
    "state": lambda: Memory(NI),
    "container": lambda: Block(NI, NI),
    "attributes": lambda: TwoLayers(NI, 2 * NI),
    "in a chain": lambda: chain(Scale(), residual(Bare(NI)), Block(NI, NI)),
}

every_kind = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def ready(make: Callable[[], Model], ops: Ops) -> Model:
    return make().initialize(floats(ops, N, NI))


def assert_predicts_the_same(model: Model, other: Model, X: Any) -> None:
    np.testing.assert_allclose(predictions(model, X), predictions(other, X), rtol=1e-5, atol=1e-6)


@every_kind
def test_its_gradients_can_be_checked(make: Callable[[], Model], ops: Ops) -> None:
    check_gradient(shaken(ready(make, ops)), floats(ops, N, NI), drop=0.3)


@every_kind
def test_it_trains(make: Callable[[], Model], ops: Ops) -> None:
    model = ready(make, ops)
    X, Y = floats(ops, N, NI), floats(ops, N, NI, seed=2)
    optimizer, loss = SGD(0.05, grad_clip=0), L2Distance()
    before, first = params_of(model), float(loss.get_loss(model.predict(X), Y))
    for _ in range(5):
        Yh, backprop = model.begin_update(X)
        backprop(loss.get_grad(Yh, Y), sgd=optimizer)
    changed = [not np.array_equal(a, b) for a, b in zip(before, params_of(model), strict=True)]
    assert all(changed)
    if changed and not any(isinstance(node, Block) for node in model.walk()):
        assert float(loss.get_loss(model.predict(X), Y)) < first


@every_kind
def test_each_parameter_is_updated_once_a_step(make: Callable[[], Model], ops: Ops) -> None:
    model, keys = ready(make, ops), []

    def record(key: Any, weights: Any, gradient: Any) -> tuple[Any, Any]:
        keys.append(key)
        return weights, gradient

    Y, backprop = model.begin_update(floats(ops, N, NI))
    backprop(Y, sgd=record)
    assert sorted(keys) == sorted((node.id, name) for node in model.walk() for name in node.param_names)


@every_kind
def test_it_saves_and_loads(make: Callable[[], Model], ops: Ops, tmp_path: Path) -> None:
    model, X = shaken(ready(make, ops)), floats(ops, N, NI)
    model.begin_update(X)
    assert_predicts_the_same(make().from_bytes(model.to_bytes()), model, X)
    model.to_disk(tmp_path / "model.bin")
    loaded = make().from_disk(tmp_path / "model.bin")
    assert_predicts_the_same(loaded, model, X)
    assert loaded.to_bytes() == model.to_bytes()


@every_kind
@pytest.mark.parametrize(
    "copied",
    [lambda model: model.copy(), copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_it_copies(make: Callable[[], Model], copied: Callable[[Model], Model], ops: Ops) -> None:
    model, X = shaken(ready(make, ops)), floats(ops, N, NI)
    model.begin_update(X)
    twin = copied(model)
    assert type(twin) is type(model)
    assert twin.name == model.name
    assert twin.ops is ops
    assert {node.id for node in twin.walk()}.isdisjoint(node.id for node in model.walk())
    assert twin.to_bytes() == model.to_bytes()
    assert_predicts_the_same(twin, model, X)
    before = model.to_bytes()
    Y, backprop = twin.begin_update(X)
    backprop(Y, sgd=SGD(0.1))
    assert model.to_bytes() == before


@every_kind
def test_it_moves(make: Callable[[], Model], ops: Ops) -> None:
    model, X = shaken(ready(make, ops)), floats(ops, N, NI)
    moved = model.copy().to(other_ops(ops))
    assert_predicts_the_same(moved, model, to_numpy(X))
    loaded = moved.copy().from_bytes(model.to_bytes())
    assert_predicts_the_same(loaded, model, to_numpy(X))


def test_attributes_that_are_layers_stay_the_layers_of_a_copy(ops: Ops) -> None:
    twin = Block(NI, 3).copy()
    assert twin.layers == [twin.scale, twin.layers[1], twin.hidden, twin.output]


def test_another_process_takes_a_model(ops: Ops) -> None:
    models = [shaken(ready(make, ops)) for make in MAKERS.values()]
    X = to_numpy(floats(ops, N, NI))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elsewhere = pool.starmap(predictions, [(model, X) for model in models])
        with pytest.raises(ShapeError, match=r"^chain > 0:linear: dimension nI: expected 5, got 4"):
            pool.apply(failing, (chain(Linear(3, NI)).initialize(), X))
    for model, Y in zip(models, elsewhere, strict=True):
        np.testing.assert_allclose(predictions(model, X), Y, rtol=1e-5, atol=1e-6)


def test_errors_leave_a_process_without_the_model(ops: Ops) -> None:
    class Local(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
            raise ShapeError("here")

    with pytest.raises(TriopsError) as caught:
        chain(Local()).predict(floats(ops, N, NI))
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is ShapeError
    assert str(again) == str(caught.value) == "chain > 0:local: here"


def test_a_model_made_without_init_still_has_a_name_and_ops(ops: Ops) -> None:
    model = Bare(NI)
    assert model.name == "bare"
    assert model.ops is ops
    assert model.param_names == ("b",)
    assert repr(model) == "Bare()"


def test_a_mixin_may_bring_begin_update(ops: Ops) -> None:
    class Doubling:
        def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
            Y, backprop = super().begin_update(2 * X, drop)  # type: ignore[misc]
            return Y, lambda dY: 2 * backprop(dY)

    class Doubled(Doubling, Scale):
        pass

    model = Doubled(NI).initialize()
    check_gradient(model, floats(ops, N, NI))
    model.begin_update(floats(ops, N, NI))[1](floats(ops, N, NI, seed=2), sgd=SGD(0.1))
    assert not (params_of(model)[0] == 1).any()


def test_a_name_can_be_chosen(ops: Ops) -> None:
    assert Block(NI, 3).name == "block"
    assert Model("tagger").name == "tagger"


def test_a_container_computes_with_the_ops_of_its_layers(ops: Ops) -> None:
    layer = Linear(3, NI)
    with use_ops(other_ops(ops)):
        assert Model(layers=[layer]).ops is ops
        assert Model(layers=[layer], ops=other_ops(ops)).ops is not ops
        assert Model().ops is not ops


def test_a_container_with_a_softmax_last_can_say_so(ops: Ops) -> None:
    class Classifier(Model):
        def __init__(self) -> None:
            super().__init__(layers=[Relu(4, NI), Softmax(3, 4)])

        @property
        def expects_logit_gradient(self) -> bool:
            return True

        def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
            hidden, backprop_hidden = self.layers[0].begin_update(X, drop)
            Y, backprop_output = self.layers[1].begin_update(hidden, drop)
            return Y, lambda dY: backprop_hidden(backprop_output(dY))

    check_gradient(shaken(Classifier().initialize()), floats(ops, N, NI))


def test_undeclared_parameters_are_loaded_by_the_shape_they_have(ops: Ops) -> None:
    model = Bare(NI)
    with pytest.raises(LoadError, match=r"^bare: b: expected shape \(5,\), the saved one is \(6,\)"):
        model.from_bytes(Bare(NI + 1).to_bytes())


def test_a_layer_on_its_own_takes_an_optimizer(ops: Ops) -> None:
    model = Scale(NI).initialize()
    model.begin_update(floats(ops, N, NI))[1](floats(ops, N, NI, seed=2), sgd=Adam(0.1))
    assert not (params_of(model)[0] == 1).any()


def test_a_layer_outside_layers_is_named_when_it_is_used(ops: Ops) -> None:
    class Forgetful(Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = {"a": Linear(3, NI)}

        def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
            return self.inner["a"].begin_update(X, drop)

    with pytest.raises(UninitializedError, match=r"^chain > 0:forgetful > linear: parameter W has no value yet"):
        chain(Forgetful()).initialize().predict(floats(ops, N, NI))


def test_a_layer_that_is_set_as_an_attribute_takes_the_place_of_the_one_before(ops: Ops) -> None:
    model = TwoLayers(NI, 3)
    second = model.second
    model.second = Linear(NI, 3)
    assert model.layers == [model.first, model.second]
    model.again = model.first
    assert model.layers == [model.first, model.second]
    assert second not in model.layers
