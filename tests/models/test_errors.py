"""What users get wrong first: each error has its class, and names the layer, what was expected, and what came."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.models.samples import NI, NO, N, classifier, floats, ids, other_ops
from triops import Model, Ops, to_numpy
from triops.errors import (
    ArgumentError,
    ArrayOwnerError,
    DTypeError,
    ShapeError,
    TriopsError,
    UninitializedError,
)
from triops.models import (
    SGD,
    Dropout,
    Embed,
    LayerNorm,
    Linear,
    Maxout,
    Relu,
    Softmax,
    add,
    chain,
    concatenate,
    one_init,
    residual,
    sigmoid_activation,
    softmax_activation,
)


def in_path(layer: Model) -> Model:
    """A layer with others around it, so that it has a path."""
    return chain(Dropout(), concatenate(layer)).initialize()


def place(model: Model) -> str:
    return f"chain > 1:concatenate > 0:{model.layers[1].layers[0].name}"


# -- the input

LAYERS: dict[str, Callable[[], Model]] = {
    "linear": lambda: Linear(NO, NI),
    "relu": lambda: Relu(NO, NI),
    "maxout": lambda: Maxout(NO, NI),
    "layernorm": lambda: LayerNorm(NI),
}

WRONG_INPUTS: dict[str, tuple[Callable[[Ops], Any], type[TriopsError], str]] = {
    "too wide": (
        lambda ops: floats(ops, N, NI + 1),
        ShapeError,
        r"dimension nI: expected 5, got 6 \(X has shape \(6, 6\)\): give it data of width 5, or make the layer",
    ),
    "no columns": (lambda ops: floats(ops, N, 0), ShapeError, r"dimension nI: expected 5, got 0"),
    "a vector": (
        lambda ops: floats(ops, NI),
        ShapeError,
        r"X must be .*2 dimensions, got shape \(5,\): reshape it",
    ),
    "rank 3": (lambda ops: floats(ops, 2, 3, NI), ShapeError, r"X must be .*2 dimensions, got shape \(2, 3, 5\)"),
    "float64": (
        lambda ops: floats(ops, N, NI, dtype="float64"),
        DTypeError,
        r"X is float64 and parameter \w is float32: convert X with ops\.asarray\(X, dtype='float32'\)",
    ),
    "float16": (lambda ops: floats(ops, N, NI, dtype="float16"), DTypeError, "X is float16 and parameter"),
    "integers": (
        lambda ops: ids(ops, N, NI, below=9),
        DTypeError,
        "X must be a floating array, got int32: convert",
    ),
    "bools": (lambda ops: ops.asarray(np.ones((N, NI), dtype=bool)), DTypeError, "floating array, got bool"),
    "a list": (
        lambda ops: [[1.0] * NI] * N,
        DTypeError,
        "X must be a floating array with 2 dimensions, got list",
    ),
    "None": (lambda ops: None, DTypeError, "X must be a floating array with 2 dimensions, got NoneType"),
    "a number": (lambda ops: 3.0, DTypeError, "got float: convert it with ops.asarray"),
    "text": (lambda ops: "words", DTypeError, "got str"),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("wrong", WRONG_INPUTS)
def test_wrong_inputs(layer: str, wrong: str, ops: Ops) -> None:
    make, error, message = WRONG_INPUTS[wrong]
    model = in_path(LAYERS[layer]())
    for call in (model.predict, model.begin_update):
        with pytest.raises(error, match=f"^{re.escape(place(model))}: .*{message}") as caught:
            call(make(ops))
        assert caught.value.layer_path == place(model)


@pytest.mark.parametrize("make", [sigmoid_activation, softmax_activation])
@pytest.mark.parametrize("wrong", ["integers", "a list", "None", "text"])
def test_wrong_inputs_of_activations(make: Callable[[], Model], wrong: str, ops: Ops) -> None:
    model = in_path(make())
    with pytest.raises(DTypeError, match=f"^{place(model)}: .* X must be an? "):
        model.predict(WRONG_INPUTS[wrong][0](ops))


def test_wrong_input_of_a_dropout(ops: Ops) -> None:
    model = chain(Dropout())
    with pytest.raises(DTypeError, match=r"^chain > 0:dropout: X must be a floating array, got int32"):
        model.begin_update(ids(ops, N, below=9), drop=0.5)


def test_numpys_text_is_no_input(ops: Ops) -> None:
    with pytest.raises((DTypeError, ArrayOwnerError), match=r"^chain"):
        classifier().initialize().predict(np.array([["a", "b"]]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda ops: ops.asarray([0, 7]), ShapeError, "indices must be from 0 to 6.*got 7"),
        (lambda ops: ops.asarray([0, -1]), ShapeError, "indices must be from 0 to 6.*got -1"),
        (lambda ops: ops.asarray([0.0, 1.0]), DTypeError, "X must be an integer array, got float32"),
        (
            lambda ops: ops.asarray([[0, 1]]),
            ShapeError,
            r"X must be an array with 1 dimension, got shape \(1, 2\)",
        ),
        (lambda ops: [0, 1], DTypeError, "X must be an integer array with 1 dimension, got list"),
    ],
)
def test_wrong_ids(make: Callable[[Ops], Any], error: type[TriopsError], message: str, ops: Ops) -> None:
    model = chain(Embed(NO, 7), Linear(3, NO)).initialize()
    with pytest.raises(error, match=f"^chain > 0:embed: .*{message}"):
        model.begin_update(make(ops))


def test_wrong_columns_of_ids(ops: Ops) -> None:
    model = chain(Embed(NO, 7, column=2)).initialize()
    with pytest.raises(ShapeError, match=r"^chain > 0:embed: X must have a column 2, got shape \(6, 2\)"):
        model.predict(ids(ops, N, 2, below=7))
    with pytest.raises(ShapeError, match=r"2 dimensions, got shape \(6,\)"):
        model.predict(ids(ops, N, below=7))


def test_arrays_of_another_backend(ops: Ops) -> None:
    model, elsewhere = classifier().initialize(), other_ops(ops)
    message = (
        rf"X is an array of {elsewhere.name} on cpu:0, but these ops are {ops.name} on cpu:0: convert it with"
    )
    for wrong in (floats(elsewhere, N, NI), [floats(elsewhere, N, NI)]):
        with pytest.raises(ArrayOwnerError, match=f"^chain: begin_update: {message}"):
            model.predict(wrong)
    Y, backprop = model.begin_update(floats(ops, N, NI))
    with pytest.raises(ArrayOwnerError, match=f"^chain: backprop: dY is an array of {elsewhere.name}"):
        backprop(elsewhere.asarray(Y))
    with pytest.raises(ArrayOwnerError, match=f"W is an array of {elsewhere.name}"):
        model.layers[0].set_param("W", floats(elsewhere, NO, NI))


# -- the gradient that comes back


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda ops: floats(ops, N, 2), ShapeError, r"dY must have the shape of Y, \(6, 3\), got \(6, 2\)"),
        (lambda ops: floats(ops, N - 1, 3), ShapeError, r"dY must have the shape of Y, \(6, 3\), got \(5, 3\)"),
        (lambda ops: floats(ops, 3), ShapeError, r"dY must have the shape of Y, \(6, 3\), got \(3,\)"),
        (
            lambda ops: floats(ops, N, 3, dtype="float64"),
            DTypeError,
            r"dY is float64 and Y is float32: convert it",
        ),
        (lambda ops: ids(ops, N, 3, below=2), DTypeError, r"dY is int32 and Y is float32"),
        (lambda ops: None, DTypeError, r"dY must be an array of shape \(6, 3\), as Y is, got NoneType"),
        (lambda ops: 1.0, DTypeError, r"dY must be an array of shape \(6, 3\), as Y is, got float"),
        (lambda ops: [[0.0] * 3] * N, DTypeError, r"dY must be an array of shape \(6, 3\), as Y is, got list"),
    ],
)
def test_wrong_gradients(make: Callable[[Ops], Any], error: type[TriopsError], message: str, ops: Ops) -> None:
    model = classifier().initialize()
    _, backprop = model.begin_update(floats(ops, N, NI))
    with pytest.raises(error, match=f"^chain: {message}"):
        backprop(make(ops))
    assert not any(node.has_grad(name) for node in model.walk() for name in node.param_names)


def test_wrong_gradients_of_lists(ops: Ops) -> None:
    X = [floats(ops, 2, NI), floats(ops, N, NI)]
    _, backprop = chain(residual(Dropout(0.5))).initialize().begin_update(X)
    with pytest.raises(ShapeError, match=r"^chain: dY must be a list of 2 arrays, as Y is, got list of 1"):
        backprop(X[:1])
    with pytest.raises(ShapeError, match=r"^chain: dY must be a list of 2 arrays, as Y is, got "):
        backprop(X[0])
    with pytest.raises(ShapeError, match=r"^chain: dY must have the shape of Y, \(2, 5\), got \(6, 5\)"):
        backprop(X[::-1])


# -- dimensions


@pytest.mark.parametrize("size", [-1, 0, True, 1.5, 4.0, "4", (4,), float("nan")])
def test_sizes_that_are_none(size: Any, ops: Ops) -> None:
    for name, make in {
        "relu: dimension nO": lambda: Relu(size),
        "relu: dimension nI": lambda: Relu(NO, size),
        "linear: dimension nO": lambda: Linear(size),
        "maxout: dimension nP": lambda: Maxout(NO, NI, size),
        "softmax: dimension nI": lambda: Softmax(NO, size),
        "embed: dimension nV": lambda: Embed(NO, size),
        "layernorm: dimension nI": lambda: LayerNorm(size),
    }.items():
        with pytest.raises(ArgumentError, match=re.escape(f"{name} must be a positive integer, got {size!r}")):
            make()


def test_samples_that_contradict_the_layer(ops: Ops) -> None:
    model = chain(Relu(NO, NI), Softmax(3))
    message = (
        r"^chain > 0:relu: dimension nI: expected 5, got 4 \(the sample X has shape \(6, 4\)\): make the layer"
    )
    with pytest.raises(ShapeError, match=message):
        model.initialize(floats(ops, N, 4))
    with pytest.raises(ShapeError, match=r"^chain > 1:linear: dimension nI: expected 7, got 4"):
        chain(Relu(NO, NI), Linear(3, 7)).initialize(floats(ops, N, NI))


def test_dimensions_and_parameters_that_do_not_exist(ops: Ops) -> None:
    model = Linear(NO, NI).initialize()
    with pytest.raises(ArgumentError, match=r"linear has no dimension 'nP', only \['nO', 'nI'\]"):
        model.set_dim("nP", 3)
    with pytest.raises(UninitializedError, match="dimension nP does not exist"):
        model.get_dim("nP")
    with pytest.raises(UninitializedError, match="parameter V does not exist"):
        model.get_param("V")


@pytest.mark.parametrize("make", [*LAYERS.values(), lambda: Softmax(NO, NI)])
def test_use_before_initialize(make: Callable[[], Model], ops: Ops) -> None:
    model = chain(make())
    with pytest.raises(
        UninitializedError, match=r"^chain > 0:\w+: parameter \w has no value yet: call model\.init"
    ):
        model.predict(floats(ops, N, NI))


def test_use_before_dimensions_are_known(ops: Ops) -> None:
    with pytest.raises(
        UninitializedError, match=r"^chain > 0:relu: dimension nI is not known yet: give it to the"
    ):
        chain(Relu(NO), Softmax(3)).predict(floats(ops, N, NI))


def test_settings_out_of_range(ops: Ops) -> None:
    for temperature in (0, -1.0, float("nan")):
        with pytest.raises(ArgumentError, match=f"Softmax: temperature must be above 0, got {temperature}"):
            Softmax(NO, NI, temperature=temperature)
    with pytest.raises(TypeError):
        Relu(NO, NI, 3)  # type: ignore[misc]


# -- layers that do not fit together


class FirstRows(Model):
    """Leaves out rows, as no layer here does."""

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        return X[:2], lambda dY: dY


class FirstColumns(Model):
    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        return X[:, :2], lambda dY: dY


def test_outputs_that_do_not_fit_together(ops: Ops) -> None:
    X = floats(ops, N, NI)
    with pytest.raises(ShapeError, match=r"^chain > 0:concatenate: .*agree in all but.*\[\(6, 5\), \(2, 5\)\]"):
        chain(concatenate(Dropout(), FirstRows())).predict(X)
    with pytest.raises(
        ShapeError, match=r"^chain > 0:add: the layers' outputs must .*, got \(6, 5\) and \(6, 2\)"
    ):
        chain(add(Dropout(), FirstColumns())).predict(X)
    with pytest.raises(
        ShapeError, match=r"^chain > 0:residual: .*expected an output of shape \(6, 5\), got \(6, 2\)"
    ):
        chain(residual(FirstColumns())).predict(X)
    with pytest.raises(
        ShapeError, match=r"^add: the layers' outputs must have one shape, got \(6, 4\) and \(6, 3\)"
    ):
        add(Relu(4, NI), Relu(3, NI)).initialize().predict(X)


# -- a user's layer


class Wrong(Model):
    """Adds a wrong gradient."""

    def __init__(self, spoil: Callable[[Any], Any]) -> None:
        super().__init__(dims={"nI": NI})
        self.add_param("W", ("nI",), one_init)
        self.spoil = spoil

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        def backprop(dY: Any) -> Any:
            self.inc_grad("W", self.spoil((X * dY).sum(axis=0)))
            return dY

        return X * self.get_param("W"), backprop


def test_gradients_that_are_not_the_parameters(ops: Ops) -> None:
    cases: list[tuple[Callable[[Any], Any], type[TriopsError], str]] = [
        (lambda g: g[:, None], ShapeError, r"expected the parameter's shape \(5,\), got \(5, 1\)"),
        (lambda g: g.sum(), ShapeError, r"expected the parameter's shape \(5,\), got \(\)"),
        (
            lambda g: ops.asarray(g, dtype="float64"),
            DTypeError,
            "expected the parameter's dtype float32, got float64",
        ),
        (lambda g: other_ops(ops).asarray(g), ArrayOwnerError, "value is an array of"),
        (lambda g: to_numpy(g).tolist(), DTypeError, "value must be an array of .*got list"),
    ]
    for spoil, error, message in cases:
        model = chain(Relu(NI, NI), residual(Wrong(spoil))).initialize()
        Y, backprop = model.begin_update(floats(ops, N, NI))
        with pytest.raises(error, match=f"^chain > 1:residual > 0:wrong: gradient of W: {message}"):
            backprop(Y, sgd=SGD(0.1))


class Failing(Model):
    def __init__(self, error: BaseException, backward: bool = False) -> None:
        super().__init__()
        self.error, self.backward = error, backward

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        if not self.backward:
            raise self.error

        def backprop(dY: Any) -> Any:
            raise self.error

        return X, backprop


class MyError(Exception):
    """As a user's library may have: with a constructor of its own."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(code)
        self.reason = reason


@pytest.mark.parametrize("make", [KeyError, ZeroDivisionError, lambda: MyError(3, reason="r"), StopIteration])
@pytest.mark.parametrize("backward", [False, True])
def test_other_exceptions_come_out_as_they_are_with_a_note(make: Any, backward: bool, ops: Ops) -> None:
    error = make()
    error.add_note("the user's own note")
    inner = chain(Relu(NI, NI), Failing(error, backward))
    model = chain(Dropout(), residual(inner), Linear(3, NI)).initialize()

    def run() -> None:
        Y, backprop = model.begin_update(floats(ops, N, NI))
        backprop(Y)

    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            run()
        assert caught.value is error
        path = "chain > 1:residual > 0:chain > 1:failing"
        assert error.__notes__ == ["the user's own note", f"in layer {path}"]


def test_an_interrupt_passes_through(ops: Ops) -> None:
    with pytest.raises(KeyboardInterrupt):
        chain(Failing(KeyboardInterrupt())).predict(floats(ops, N, NI))


def test_the_cause_of_an_error_stays(ops: Ops) -> None:
    class Careful(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
            try:
                {}["key"]
            except KeyError as error:
                raise ArgumentError("no such key") from error

    with pytest.raises(ArgumentError, match=r"^chain > 0:careful: no such key$") as caught:
        chain(Careful()).predict(floats(ops, N, NI))
    assert type(caught.value.__cause__) is KeyError
    assert caught.value.message == "no such key"


def test_a_layer_in_two_places_is_named_by_the_first(ops: Ops) -> None:
    layer = Failing(KeyError("x"))
    with pytest.raises(KeyError) as caught:
        chain(Dropout(), residual(layer), layer).predict(floats(ops, N, NI))
    assert caught.value.__notes__ == ["in layer chain > 1:residual > 0:failing"]


def test_what_begin_update_must_return(ops: Ops) -> None:
    class OnlyY(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
            return X

    with pytest.raises((TypeError, ValueError)) as caught:
        chain(OnlyY()).predict(floats(ops, N, NI))
    assert caught.value.__notes__ == ["in layer chain > 0:onlyy"]


def test_every_error_is_one_of_triops_and_one_of_pythons() -> None:
    from triops import errors

    classes = {getattr(errors, name) for name in errors.__all__} - {TriopsError}
    assert all(issubclass(error, TriopsError) and len(error.__bases__) == 2 for error in classes)
