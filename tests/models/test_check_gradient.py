"""The gradient check passes what is right, and names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.models.samples import NI, NO, N, floats, ids, shaken
from triops import Model, Ops, check_gradient, fix_random_seed
from triops.errors import GradientError, UninitializedError
from triops.models import (
    Dropout,
    Embed,
    GradientCheck,
    Linear,
    Relu,
    Softmax,
    Tanh,
    chain,
    concatenate,
    residual,
    softmax_activation,
)


class Faulty(Model):
    """Y = X Wᵀ + b, with its gradients passed through a function each."""

    def __init__(
        self,
        nO: int = NO,
        nI: int = NI,
        *,
        dX: Callable[[Any], Any] = lambda g: g,
        dW: Callable[[Any], Any] = lambda g: g,
        db: Callable[[Any], Any] | None = lambda g: g,
    ) -> None:
        super().__init__(dims={"nO": nO, "nI": nI})
        self.add_param("W", ("nO", "nI"))
        self.add_param("b", ("nO",))
        self.faults = dX, dW, db

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        W, b = self.get_param("W"), self.get_param("b")
        dX, dW, db = self.faults

        def backprop(dY: Any) -> Any:
            self.inc_grad("W", dW(dY.T @ X))
            if db is not None:
                self.inc_grad("b", db(dY.sum(axis=0)))
            return dX(dY @ W)

        return X @ W.T + b, backprop


def one_entry_wrong(ops: Ops) -> Callable[[Any], Any]:
    """Doubles one entry of a gradient."""

    def spoil(gradient: Any) -> Any:
        factors = np.ones(gradient.shape)
        factors[1, 2] = 2
        return gradient * ops.asarray(factors, dtype="float64")

    return spoil


def check(model: Model, ops: Ops, **settings: Any) -> list[GradientCheck]:
    model.initialize()
    width = next(node.get_dim("nI") for node in model.walk() if node.has_dim("nI"))
    return check_gradient(model, floats(ops, N, width), **settings)


def test_what_is_right_passes_with_a_line_for_each_comparison(ops: Ops) -> None:
    checks = check(chain(Faulty(), Tanh(3, NO)), ops)
    assert len(checks) == 2 * 5
    assert {line.name for line in checks} == {
        *(f"chain > 0:faulty: parameter {name}" for name in ("W", "b")),
        *(f"chain > 1:tanh: parameter {name}" for name in ("W", "b")),
        "chain: the input X",
    }
    assert all(line.agrees and abs(line.analytic - line.numeric) <= line.allowed for line in checks)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"dX": lambda g: g * 1.001}, "chain: the input X"),
        ({"dX": lambda g: -g}, "chain: the input X"),
        ({"dX": lambda g: g * 0}, "chain: the input X"),
        ({"dX": lambda g: g[::-1]}, "chain: the input X"),
        ({"dX": lambda g: None}, "chain: the input X"),
        ({"dX": lambda g: g.sum(axis=0)[None]}, "chain: the input X"),
        ({"dW": lambda g: g * 2}, "chain > 0:faulty: parameter W"),
        ({"dW": lambda g: g / N}, "chain > 0:faulty: parameter W"),
        ({"dW": lambda g: g * 1.001}, "chain > 0:faulty: parameter W"),
        ({"db": lambda g: g + 0.01}, "chain > 0:faulty: parameter b"),
        ({"db": lambda g: -g}, "chain > 0:faulty: parameter b"),
        ({"db": None}, "chain > 0:faulty: parameter b"),
    ],
)
def test_what_is_wrong_is_named(fault: Any, named: str, ops: Ops) -> None:
    with pytest.raises(GradientError, match=named) as caught:
        check(chain(Faulty(**fault), Linear(3, NO)), ops)
    others = {"chain: the input X", *(f"chain > 0:faulty: parameter {name}" for name in ("W", "b"))} - {named}
    assert not any(other in str(caught.value) for other in others)


def test_a_wrong_layer_deep_inside_is_named_by_its_path(ops: Ops) -> None:
    inner = Faulty(NI, NI, dW=lambda g: g * 1.01)
    model = chain(Linear(NI, NI), residual(chain(Relu(NI, NI), inner)))
    with pytest.raises(
        GradientError, match=r"chain > 1:residual > 0:chain > 1:faulty: parameter W: backprop says"
    ):
        check(model, ops)


def test_a_layer_wrong_for_what_comes_before_it(ops: Ops) -> None:
    """A wrong dX shows in every gradient below, and in none of the layer's own."""
    with pytest.raises(GradientError) as caught:
        check(chain(Linear(NI, NI), Faulty(dX=lambda g: 2 * g)), ops)
    message = str(caught.value)
    assert "chain > 0:linear: parameter W" in message
    assert "faulty: parameter" not in message


@pytest.mark.parametrize("seed", range(2))
def test_one_wrong_entry_of_a_large_matrix_is_found(ops: Ops, seed: int) -> None:
    with pytest.raises(GradientError, match="faulty: parameter W"):
        check(Faulty(60, 80, dW=one_entry_wrong(ops)), ops, seed=seed)


def test_one_wrong_entry_of_the_inputs_gradient_is_found(ops: Ops) -> None:
    with pytest.raises(GradientError, match="the input X"):
        check(Faulty(dX=one_entry_wrong(ops)), ops)


def test_a_wrong_gradient_of_a_parameter_that_is_zero_is_found(ops: Ops) -> None:
    class SquaredBias(Model):
        def __init__(self) -> None:
            super().__init__()
            self.set_param("b", self.ops.alloc((NI,)))

        def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
            b = self.get_param("b")
            return X + b * b, lambda dY: self.inc_grad("b", dY.sum(axis=0) * b) or dY

    with pytest.raises(GradientError, match="squaredbias: parameter b"):
        check_gradient(SquaredBias(), floats(ops, N, NI))


def test_a_gradient_may_be_wrong_only_where_something_is_dropped(ops: Ops) -> None:
    class DropsOneWay(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
            return X * (1 - (drop or 0)), lambda dY: dY

    check_gradient(DropsOneWay(), floats(ops, N, NI))
    with pytest.raises(GradientError):
        check_gradient(DropsOneWay(), floats(ops, N, NI), drop=0.2)


def test_the_model_stays_as_it_was(ops: Ops) -> None:
    model = shaken(chain(Relu(NO, NI, normalize=True), Dropout(0.3), Softmax(3, NO)).initialize())
    model.begin_update(floats(ops, N, NI), drop=0.3)[1](floats(ops, N, 3))
    before = model.to_bytes()
    gradients = {(node.id, name): node.get_grad(name) for node in model.walk() for name in node.param_names}
    check_gradient(model, floats(ops, N, NI), drop=0.3)
    with pytest.raises(GradientError):
        check(chain(model.layers[0], Faulty(3, NO, db=None)).copy(), ops)
    assert model.to_bytes() == before
    for node in model.walk():
        for name in node.param_names:
            assert node.get_grad(name) is gradients[node.id, name]
            assert node.get_param(name).dtype == "float32"


def test_the_callers_seed_has_no_part_in_it(ops: Ops) -> None:
    model = shaken(chain(Relu(NO, NI), Dropout(0.3)).initialize())
    first = check_gradient(model, floats(ops, N, NI))
    fix_random_seed(9)
    assert check_gradient(model, floats(ops, N, NI)) == first
    assert check_gradient(model, floats(ops, N, NI), seed=1) != first


def test_an_output_layer_is_checked_from_its_scores(ops: Ops) -> None:
    check_gradient(shaken(chain(Relu(NO, NI), Softmax(3, NO)).initialize()), floats(ops, N, NI))
    check_gradient(shaken(Softmax(3, NI, temperature=0.7).initialize()), floats(ops, N, NI))
    check_gradient(shaken(chain(Linear(3, NI), softmax_activation()).initialize()), floats(ops, N, NI))


def test_a_softmax_whose_first_weights_are_zero_passes(ops: Ops) -> None:
    check_gradient(chain(Relu(NO, NI), Softmax(3, NO)).initialize(), floats(ops, N, NI))


def test_ids_have_no_gradient(ops: Ops) -> None:
    model = chain(concatenate(Embed(2, 7, column=0), Embed(3, 7, column=1)), Tanh(NO, 5)).initialize()
    checks = check_gradient(model, ids(ops, N, 2, below=7))
    assert len(checks) == 2 * 4


def test_lists_of_arrays(ops: Ops) -> None:
    X = [floats(ops, 2, NI), floats(ops, N, NI)]
    assert len(check_gradient(residual(Dropout(0.3)).initialize(), X)) == 2

    class Doubles(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
            return [2 * x for x in X], lambda dY: [2 * dY[0], dY[1]]

    with pytest.raises(GradientError, match="doubles: the input X"):
        check_gradient(Doubles(), X)


def test_a_model_without_values_is_refused_with_the_place(ops: Ops) -> None:
    with pytest.raises(
        UninitializedError, match=r"chain > 1:linear has no parameter W yet: call model\.initialize"
    ):
        check_gradient(chain(Relu(NO, NI).initialize(), Linear(3, NO)), floats(ops, N, NI))


def test_float64_and_numpy_input_are_converted_or_named(ops: Ops) -> None:
    model = shaken(Linear(3, NI).initialize())
    check_gradient(model, floats(ops, N, NI, dtype="float64"))
    check_gradient(model.astype("float64"), floats(ops, N, NI))


def test_a_tolerance_can_be_given(ops: Ops) -> None:
    model = Faulty(dX=lambda g: g * 1.001)
    with pytest.raises(GradientError):
        check(model, ops)
    check(model, ops, rtol=0.1)
    assert len(check(Faulty(), ops, directions=5)) == 15
