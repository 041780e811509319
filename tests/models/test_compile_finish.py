"""The update of a compiled model is one program, and what `Model.finish_update` does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import triops
from tests.models.samples import NI, N, classifier, floats, ops_or_skip, params_of, shaken
from tests.models.test_compile import OPTIMIZERS, assert_same_models, close
from triops import Model, Ops, to_numpy, use_ops
from triops.errors import ArgumentError, ShapeError
from triops.models import Adam, CategoricalCrossentropy

LABELS = [0, 2, 1, 1, 0, 2]


@pytest.fixture(name="ops", params=["numpy", "jax"])
def each_ops(request: pytest.FixtureRequest) -> Any:
    with use_ops(ops_or_skip(request.param)) as ops:
        yield ops


def twins() -> tuple[Model, Model]:
    """A model, and a compiled copy."""
    model = shaken(classifier().initialize())
    return model, triops.compile(model.copy())


def passed(model: Model, X: Any) -> Any:
    """Add the gradients of a batch; returns the callback."""
    Y, backprop = model.begin_update(X)
    backprop(CategoricalCrossentropy().get_grad(Y, LABELS))
    return backprop


def assert_same(before: list[Any], model: Model) -> None:
    """The parameters are these still."""
    for one, other in zip(before, params_of(model), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_is_the_eager_one(name: str, ops: Ops) -> None:
    model, compiled = twins()
    X, optimizer, other = floats(ops, N, NI), OPTIMIZERS[name](), OPTIMIZERS[name]()
    for _ in range(4):
        passed(model, X)
        passed(compiled, X)
        model.finish_update(optimizer)
        compiled.finish_update(other)
        assert not any(node._grads for node in compiled.walk())
    assert_same_models(model, compiled)
    assert getattr(optimizer, "updates", 0) == getattr(other, "updates", 0)
    for node, twin in zip(model.walk(), compiled.walk(), strict=True):
        for param in node.param_names if getattr(optimizer, "averages", None) else ():
            close(optimizer.averages[node.id, param], other.averages[twin.id, param])


def test_parameters_without_a_gradient_stay(ops: Ops) -> None:
    model, compiled = twins()
    optimizer, other, X = Adam(0.05), Adam(0.05), floats(ops, N, NI)
    for trained in (True, False, True):
        for each, its in ((model, optimizer), (compiled, other)):
            passed(each, X)
            if not trained:
                each.layers[0].clear_grads()
            before = params_of(each.layers[0])
            each.finish_update(its)
            if not trained:
                assert_same(before, each.layers[0])
    assert_same_models(model, compiled)
    assert optimizer.nr_update.keys() == {(node.id, name) for node in model.walk() for name in node.param_names}


def test_a_callback_can_be_called_after_the_update(ops: Ops) -> None:
    _, compiled = twins()
    X, optimizer = floats(ops, N, NI), Adam(0.05)
    Y, backprop = compiled.begin_update(X)
    first = to_numpy(backprop(Y)).copy()
    compiled.finish_update(optimizer)
    np.testing.assert_array_equal(first, to_numpy(backprop(Y)))
    compiled.finish_update(optimizer)


def test_another_optimizer_and_an_eager_update_go_on_from_there(ops: Ops) -> None:
    model, compiled = twins()
    X, optimizers, others = floats(ops, N, NI), (Adam(0.05), Adam(0.1)), (Adam(0.05), Adam(0.1))
    for i, inner in ((0, False), (1, False), (0, True), (0, False)):
        passed(model, X)
        passed(compiled, X)
        model.finish_update(optimizers[i])
        (compiled._model if inner else compiled).finish_update(others[i])
    assert_same_models(model, compiled)


def test_updates_are_one_program_and_not_counted() -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        _, compiled = twins()
        optimizer = Adam(0.05)
        for _ in range(3):
            passed(compiled, floats(ops, N, NI))
            compiled.finish_update(optimizer)
        assert (compiled.compilations, compiled._updates._programs.compilations) == (1, 1)


def test_parts_that_learn_in_turns_are_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        _, compiled = twins()
        optimizer, traced, programs = Adam(0.05), [], compiled._updates._programs
        make = programs._make
        monkeypatch.setattr(programs, "_make", lambda *given: traced.append(given) or make(*given))
        found = []
        for turn in range(8):
            passed(compiled, floats(ops, N, NI))
            if turn % 2:
                compiled.layers[0].clear_grads()
            compiled.finish_update(optimizer)
            found.append(len(traced))
        # All, equally often so far; some, found by a trace that comes to nothing; all, some of them more often.
        assert found == [1, 3, 4, 4, 4, 4, 4, 4]


def test_a_wrong_gradient_or_optimizer_is_named_and_nothing_changes(ops: Ops) -> None:
    _, compiled = twins()
    passed(compiled, floats(ops, N, NI))
    before = params_of(compiled)
    with pytest.raises(ArgumentError, match="optimizer must be callable"):
        compiled.finish_update(3)  # type: ignore[arg-type]
    compiled.layers[0].set_grad("b", floats(ops, 2))
    with pytest.raises(ShapeError, match="gradient of b: expected the parameter's shape"):
        compiled.finish_update(Adam(0.05))
    assert_same(before, compiled)
    assert compiled.layers[0].get_grad("b").shape == (2,)
