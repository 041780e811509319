"""First values of parameters: the same bits on every backend, another draw for every seed and place."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.models.samples import NI, NO, N, floats, ops_or_skip, other_ops, params_of
from triops import Model, Ops, fix_random_seed, models, to_numpy, use_ops
from triops.errors import ArgumentError, ArrayOwnerError, ShapeError
from triops.models import Dropout, Embed, Linear, Maxout, Relu, Softmax, chain, concatenate, residual


def network() -> Model:
    return chain(
        Maxout(NO, NI, normalize=True),
        residual(Relu(NO, NO, dropout=0.3)),
        concatenate(Relu(2, NO), Linear(3, NO)),
        Softmax(3, 5, init_W=models.normal_init),
    )


def same(one: Model, other: Model) -> bool:
    pairs = zip(params_of(one), params_of(other), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def test_first_weights_are_the_same_bits_on_every_backend(ops: Ops) -> None:
    model = network().initialize(seed=5)
    with use_ops(ops_or_skip("numpy")):
        assert same(model, network().initialize(seed=5))


def test_the_seed_decides_and_nothing_else(ops: Ops) -> None:
    first = network().initialize(seed=5)
    Relu(NO, NI).initialize()
    assert same(first, network().initialize(seed=5))
    assert same(first, network().initialize(floats(ops, N, NI), floats(ops, N, 3), seed=5))
    assert not same(first, network().initialize(seed=6))


def test_fix_random_seed_is_the_seed_where_none_is_given(ops: Ops) -> None:
    fix_random_seed(11)
    model = network().initialize()
    assert same(model, network().initialize(seed=11))
    fix_random_seed(12)
    assert not same(model, network().initialize())
    with pytest.raises(ArgumentError, match="seed must be 0 or more, got -1"):
        fix_random_seed(-1)


def test_equal_layers_differ_by_their_place(ops: Ops) -> None:
    model = chain(Relu(NI, NI), Relu(NI, NI), residual(Relu(NI, NI))).initialize()
    weights = [to_numpy(layer.get_param("W")) for layer in (*model.layers[:2], model.layers[2].layers[0])]
    assert len({w.tobytes() for w in weights}) == 3


def test_initializing_again_draws_again(ops: Ops) -> None:
    model = network().initialize(seed=1)
    assert same(model.initialize(seed=2), network().initialize(seed=2))


def test_defaults_are_thincs(ops: Ops) -> None:
    relu = Relu(NO, NI).initialize()
    assert not to_numpy(relu.get_param("b")).any()
    assert to_numpy(relu.get_param("W")).any()
    for layer in (Softmax(NO, NI), models.Sigmoid(NO, NI)):
        assert not any(w.any() for w in params_of(layer.initialize()))
    norm = models.LayerNorm(NI).initialize()
    assert (to_numpy(norm.get_param("G")) == 1).all()
    assert not to_numpy(norm.get_param("b")).any()
    E = to_numpy(Embed(NO, 50).initialize().get_param("E"))
    assert np.abs(E).max() <= 0.1


# -- initializers

SHAPE = (60, 40)
UNIFORM = {
    "glorot_uniform_init": math.sqrt(6 / 100),
    "he_uniform_init": math.sqrt(6 / 40),
    "lecun_uniform_init": math.sqrt(3 / 40),
}
NORMAL = {
    "glorot_normal_init": math.sqrt(2 / 100),
    "he_normal_init": math.sqrt(2 / 40),
    "lecun_normal_init": math.sqrt(1 / 40),
}


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_initializers_fill_their_range(name: str, ops: Ops) -> None:
    W = to_numpy(getattr(models, name)(ops, SHAPE, 3))
    assert W.shape == SHAPE
    assert W.dtype == "float32"
    assert UNIFORM[name] * 0.98 < np.abs(W).max() <= UNIFORM[name] * (1 + 1e-6)
    assert W.var() == pytest.approx(UNIFORM[name] ** 2 / 3, rel=0.1)
    assert abs(W.mean()) < 0.1 * UNIFORM[name]


@pytest.mark.parametrize("name", NORMAL)
def test_normal_initializers_have_their_variance(name: str, ops: Ops) -> None:
    W = to_numpy(getattr(models, name)(ops, SHAPE, 3))
    assert W.dtype == "float32"
    assert W.std() == pytest.approx(NORMAL[name], rel=0.05)
    assert abs(W.mean()) < 0.1 * NORMAL[name]


def test_plain_initializers_take_settings_by_partial(ops: Ops) -> None:
    uniform = to_numpy(partial(models.uniform_init, lo=2.0, hi=3.0)(ops, SHAPE, 3))
    assert uniform.min() >= 2
    assert uniform.max() <= 3
    normal = to_numpy(partial(models.normal_init, mean=4.0, scale=0.5)(ops, SHAPE, 3))
    assert normal.mean() == pytest.approx(4, rel=0.02)
    assert normal.std() == pytest.approx(0.5, rel=0.05)
    assert not to_numpy(models.zero_init(ops, (3,))).any()
    assert (to_numpy(models.one_init(ops, (3,), 0)) == 1).all()


def test_fan_in_of_a_maxout_is_its_width(ops: Ops) -> None:
    W = to_numpy(models.he_normal_init(ops, (20, 3, 40), 3))
    assert W.std() == pytest.approx(math.sqrt(2 / 40), rel=0.05)


@pytest.mark.parametrize("name", [*UNIFORM, *NORMAL])
def test_a_vector_has_no_fan_to_scale_by(name: str, ops: Ops) -> None:
    with pytest.raises(ShapeError, match=r"at least two dimensions to scale by, got \(5,\)"):
        getattr(models, name)(ops, (5,), 0)
    with pytest.raises(ShapeError, match=r"^relu: initializer: needs a shape of at least two"):
        Relu(NO, NI, init_b=getattr(models, name)).initialize()


def test_a_seed_below_zero_is_refused(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match="seed"):
        models.uniform_init(ops, (3,), -1)


# -- a user's initializer


def test_a_function_of_ops_shape_and_seed_is_an_initializer(ops: Ops) -> None:
    calls = []

    def sevens(ops: Any, shape: Any, seed: int) -> Any:
        calls.append((tuple(shape), seed))
        return ops.alloc(shape) + 7

    model = Relu(NO, NI, init_W=sevens, init_b=sevens).initialize()
    assert all((w == 7).all() for w in params_of(model))
    assert [shape for shape, _ in calls] == [(NO, NI), (NO,)]
    assert calls[0][1] != calls[1][1]


def test_an_initializer_of_another_shape_is_named(ops: Ops) -> None:
    model = chain(Relu(NO, NI, init_W=lambda ops, shape, seed: ops.alloc((NI, NO))), Dropout())
    with pytest.raises(ShapeError, match=r"^chain > 0:relu: parameter W: expected shape \(4, 5\).*\(5, 4\)"):
        model.initialize()


def test_an_initializer_of_another_backend_is_named(ops: Ops) -> None:
    elsewhere = other_ops(ops)
    model = chain(Relu(NO, NI, init_b=lambda ops, shape, seed: elsewhere.alloc(shape)))
    with pytest.raises(ArrayOwnerError, match=r"^chain > 0:relu: initializer of b"):
        model.initialize()


def test_an_initializer_that_fails_says_where(ops: Ops) -> None:
    def broken(ops: Any, shape: Any, seed: int) -> Any:
        raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose") as caught:
        chain(Relu(NO, NI), Linear(NO, NO, init_W=broken)).initialize()
    assert caught.value.__notes__ == ["in layer chain > 1:linear"]


def test_labels_tell_the_number_of_classes(ops: Ops) -> None:
    for labels in (ops.asarray([0, 2, 1, 4, 0]), [0, 2, 1, 4, 0]):
        assert chain(Relu(4), Softmax()).initialize(floats(ops, N, NI), labels).get_dim("nO") == 5


def test_a_failed_initialize_can_be_done_again(ops: Ops) -> None:
    model = chain(Linear(3), Relu(4, 5))
    with pytest.raises(ShapeError, match="dimension nI: expected 5, got 3"):
        model.initialize(floats(ops, N, NI))
    assert [node.maybe_get_dim("nI") for node in model.layers] == [None, 5]
    assert not model.layers[0].has_param("W")
    model.layers[1] = Relu(4)
    assert model.initialize(floats(ops, N, NI + 1)).get_dim("nI") == NI + 1
