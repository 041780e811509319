"""How models are put together: operators, nesting, dimensions that are passed on, lists, shared layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.samples import NI, NO, N, floats, other_ops, params_of, shaken
from triops import Model, Ops, check_gradient, to_numpy, use_ops
from triops.errors import ArgumentError, ArrayOwnerError, ShapeError, UninitializedError
from triops.models import (
    Dropout,
    LayerNorm,
    Linear,
    Maxout,
    Relu,
    Softmax,
    add,
    chain,
    clone,
    concatenate,
    noop,
    residual,
    softmax_activation,
)


def test_operators_stand_for_the_combinators(ops: Ops) -> None:
    a, b = Relu(NO, NI), Relu(NO, NI)
    assert type(a >> Linear(2, NO)) is chain
    assert type(a | b) is concatenate
    assert type(a + b) is add
    assert len((Relu(NI, NI) ** 3).layers) == 3
    assert (a | b).get_dim("nO") == 2 * NO
    assert (a + b).get_dim("nO") == NO


def test_operators_can_be_given_other_meanings_for_a_block(ops: Ops) -> None:
    a, b = Relu(NO, NI), Relu(NO, NI)
    with Model.define_operators({">>": concatenate, "|": chain}):
        assert type(a >> b) is concatenate
        assert type(a + b) is add
        with Model.define_operators({">>": add}):
            assert type(a >> b) is add
        assert type(a >> b) is concatenate
    assert type(a >> b) is chain


def test_thincs_idiom_for_operators(ops: Ops) -> None:
    with Model.define_operators({">>": chain, "|": concatenate, "**": clone}):
        model = (Relu(2) | Maxout(2)) >> LayerNorm() >> Relu() ** 2 >> Softmax()
    model.initialize(floats(ops, N, NI), floats(ops, N, 3))
    assert model.predict(floats(ops, N, NI)).shape == (N, 3)


def test_operators_come_back_after_an_exception(ops: Ops) -> None:
    with pytest.raises(KeyError), Model.define_operators({">>": add}):
        raise KeyError
    assert type(Relu(NO, NI) >> Relu(NO, NO)) is chain


def test_chains_in_chains_are_taken_apart_and_others_are_not(ops: Ops) -> None:
    a, b, c = Relu(NO), Relu(NO), Relu(NO)
    assert ((a >> b) >> c).layers == [a, b, c]
    assert (a >> (b >> c)).layers == [a, b, c]
    assert ((a | b) | c).layers == [a, b, c]
    assert [type(layer) for layer in ((a | b) + c).layers] == [concatenate, Relu]
    assert type(residual(a >> b).layers[0]) is chain


def test_a_chain_of_nothing_and_of_one(ops: Ops) -> None:
    X = floats(ops, N, NI)
    for model in (chain(), add(), concatenate(), noop(Relu()), clone(Relu(), 0)):
        Y, backprop = model.begin_update(X)
        assert Y is X
        assert backprop(X) is X
    layer = Relu(NO, NI)
    assert chain(layer).layers == [layer]
    assert clone(layer, 1) is layer


def test_clones_have_parameters_of_their_own(ops: Ops) -> None:
    layer = Relu(NI, NI)
    model = clone(layer, 3).initialize()
    assert model.layers[0] is layer
    weights = [to_numpy(inner.get_param("W")) for inner in model.layers]
    assert not any(np.array_equal(weights[i], weights[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert len(clone(Relu(), np.int64(2)).layers) == 2


@pytest.mark.parametrize("n", [-1, 1.5, True, "2", None])
def test_clone_refuses_what_is_no_number_of_copies(n: Any, ops: Ops) -> None:
    with pytest.raises(ArgumentError, match=r"clone: n must be an integer from 0, got"):
        clone(Relu(), n)


@pytest.mark.parametrize("combinator", [chain, add, concatenate, residual])
@pytest.mark.parametrize("wrong", [3, None, Relu, "relu"])
def test_combinators_refuse_what_is_no_model(combinator: Any, wrong: Any, ops: Ops) -> None:
    arguments = [wrong] if combinator is residual else [Relu(NO), wrong]
    with pytest.raises(
        ArgumentError, match=f"{combinator.__name__}: expected models, got {type(wrong).__name__}"
    ):
        combinator(*arguments)


def test_operators_refuse_what_is_no_model(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match="expected models, got int"):
        Relu(NO) >> 3  # type: ignore[operator]
    with pytest.raises(TypeError):
        3 >> Relu(NO)  # type: ignore[operator]


# -- dimensions


def test_widths_pass_from_layer_to_layer(ops: Ops) -> None:
    model = chain(Relu(NO), Dropout(), residual(Relu()), concatenate(Relu(2), Relu(3)), Softmax())
    model.initialize(floats(ops, N, NI), floats(ops, N, 3))
    assert model.get_dim("nI") == NI
    assert model.get_dim("nO") == 3
    assert model.layers[2].get_dim("nO") == NO
    assert model.layers[3].get_dim("nO") == 5
    assert model.layers[4].get_dim("nI") == 5


def test_a_residual_takes_the_width_of_its_input_and_not_of_the_target(ops: Ops) -> None:
    model = chain(residual(Relu()), residual(Maxout() >> Linear()), Softmax())
    model.initialize(floats(ops, N, NI), floats(ops, N, 3))
    assert [layer.get_dim("nO") for layer in model.layers] == [NI, NI, 3]


def test_initialize_needs_no_sample_where_every_width_is_known(ops: Ops) -> None:
    model = chain(Relu(NO, NI), Softmax(3, NO)).initialize()
    assert model.get_dim("nI") == NI
    assert model.get_dim("nO") == 3


def test_a_width_that_nothing_tells_is_named(ops: Ops) -> None:
    message = (
        r"^chain > 1:softmax: dimension nO is not known yet: give it to the layer, or .* \(N, nI\) and \(N, nO\)"
    )
    for labels in (None, ops.asarray([0.0, 1.0, 2.0]), ["a", "b", "c"]):
        with pytest.raises(UninitializedError, match=message):
            chain(Relu(NO), Softmax()).initialize(floats(ops, N, NI), labels)
    with pytest.raises(UninitializedError, match=r"^chain > 0:concatenate > 1:relu: dimension nO"):
        chain(concatenate(Relu(2), Relu()), Softmax(3)).initialize(floats(ops, N, NI), floats(ops, N, 3))


def test_a_residual_of_another_width_is_refused(ops: Ops) -> None:
    with pytest.raises(ShapeError, match=r"expected nO = nI = 5, got nO=4"):
        residual(Relu(4, 5))
    with pytest.raises(ShapeError, match=r"^chain > 1:residual: .* expected nO = nI = 4, got nO=3"):
        chain(Relu(NO), residual(Relu(3))).initialize(floats(ops, N, NI))


# -- output layers


@pytest.mark.parametrize(
    "make",
    [
        lambda: chain(Softmax(NO, NI), Relu(NO, NO)),
        lambda: chain(chain(Relu(NI, NI), Softmax(NO, NI)), Relu(NO, NO)),
        lambda: residual(Softmax(NI, NI)),
        lambda: residual(chain(Relu(NI, NI), Softmax(NI, NI))),
        lambda: add(Relu(NO, NI), Softmax(NO, NI)),
        lambda: concatenate(Softmax(NO, NI), Relu(NO, NI)),
        lambda: clone(Softmax(NI, NI), 2),
    ],
)
def test_an_output_layer_is_refused_where_no_loss_follows(make: Any, ops: Ops) -> None:
    with pytest.raises(ArgumentError, match=r"is an output layer.*softmax_activation\(\)"):
        make()


def test_a_softmax_within_a_model_is_softmax_activation(ops: Ops) -> None:
    model = shaken(chain(Linear(NO, NI), softmax_activation(), Linear(2, NO)).initialize())
    assert not model.expects_logit_gradient
    check_gradient(model, floats(ops, N, NI))


# -- data in lists


def test_lists_pass_through_dropout_and_residual(ops: Ops) -> None:
    X = [floats(ops, 2, NI), floats(ops, N, NI)]
    model = chain(residual(Dropout(0.4)), Dropout())
    model.initialize(X, X)
    predicted = model.predict(X)
    np.testing.assert_allclose(to_numpy(predicted[1]), 2 * to_numpy(X[1]), rtol=1e-6)
    Y, backprop = model.begin_update(X, drop=0.3)
    dX = backprop(Y)
    assert [dx.shape for dx in dX] == [x.shape for x in X]
    check_gradient(model, X, drop=0.3)


def test_lists_keep_their_type(ops: Ops) -> None:
    X = (floats(ops, 2, NI), floats(ops, 2, NI))
    assert type(residual(Dropout(0.4)).begin_update(X)[0]) is tuple


# -- layers in several places


def test_a_layer_in_two_places_is_one_layer(ops: Ops) -> None:
    layer = Relu(NI, NI)
    model = shaken(chain(layer, layer, Linear(2, NI)).initialize())
    single = shaken(chain(Relu(NI, NI), Linear(2, NI)).initialize())
    assert model.count_params() == single.count_params()
    assert len(model.to_bytes()) == len(single.to_bytes())
    assert len(list(model.walk())) == len(list(single.walk()))
    check_gradient(model, floats(ops, N, NI))


def test_gradients_of_a_layer_in_two_places_add_up(ops: Ops) -> None:
    layer = shaken(Linear(NI, NI).initialize())
    apart = [layer.copy(), layer.copy()]
    X, dY = floats(ops, N, NI), floats(ops, N, NI, seed=2)
    dX = chain(layer, layer).begin_update(X)[1](dY)
    expected_dX = chain(*apart).begin_update(X)[1](dY)
    for name in ("W", "b"):
        expected = to_numpy(apart[0].get_grad(name)) + to_numpy(apart[1].get_grad(name))
        np.testing.assert_allclose(to_numpy(layer.get_grad(name)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_numpy(dX), to_numpy(expected_dX), rtol=1e-5)


def test_a_copy_keeps_what_was_tied_tied_and_shares_nothing(ops: Ops) -> None:
    layer = Relu(NI, NI)
    model = chain(layer, residual(layer), Linear(2, NI)).initialize()
    twin = model.copy()
    assert twin.layers[0] is twin.layers[1].layers[0]
    assert {node.id for node in twin.walk()}.isdisjoint(node.id for node in model.walk())
    before = params_of(model)
    _, backprop = twin.begin_update(floats(ops, N, NI))
    backprop(floats(ops, N, 2), sgd=lambda key, weights, gradient: (weights - gradient, gradient))
    assert all(np.array_equal(a, b) for a, b in zip(before, params_of(model), strict=True))
    assert not any(node.has_grad(name) for node in model.walk() for name in node.param_names)


def test_a_tied_model_is_saved_and_loaded_with_its_tie(ops: Ops) -> None:
    def make() -> Model:
        layer = Relu(NI, NI)
        return chain(layer, residual(layer), Linear(2, NI))

    model = shaken(make().initialize())
    loaded = make().from_bytes(model.to_bytes())
    X = floats(ops, N, NI)
    np.testing.assert_array_equal(to_numpy(loaded.predict(X)), to_numpy(model.predict(X)))


def test_walk_visits_each_layer_once_in_either_order(ops: Ops) -> None:
    a, b, c = Linear(NI, NI), Linear(NI, NI), Linear(NI, NI)
    inner = residual(chain(b, c))
    model = chain(a, inner, c)
    assert list(model.walk()) == [model, a, inner, c, inner.layers[0], b]
    assert list(model.walk(order="dfs_pre")) == [model, a, inner, inner.layers[0], b, c]
    with pytest.raises(ArgumentError, match="order must be"):
        list(model.walk(order="dfs_post"))  # type: ignore[arg-type]


# -- what combinators compute with


def test_a_combinator_computes_with_the_ops_of_its_layers(ops: Ops) -> None:
    layer = Relu(NI, NI).initialize()
    with use_ops(other_ops(ops)):
        models = [chain(layer), residual(layer), add(layer), clone(layer, 2)]
    X = floats(ops, N, NI)
    for model in models:
        assert model.ops is ops
        model.initialize()
        assert model.predict(X).shape == (N, NI)


def test_layers_of_two_backends_are_not_combined(ops: Ops) -> None:
    layer = Relu(NO, NI)
    with use_ops(other_ops(ops)):
        other = Softmax(3, NO)
    with pytest.raises(
        ArrayOwnerError, match=r"chain: the layers must share one backend, got relu on .*model\.to"
    ):
        chain(layer, other)
    assert chain(layer, other.to(ops)).initialize().predict(floats(ops, N, NI)).shape == (N, 3)
