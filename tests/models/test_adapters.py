"""Adapters between lists, Ragged, Padded and arrays: against Thinc's, without copies, and with wrong data."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from tests.models.samples import LENGTHS, NI, NO, N, floats, formed, ids, ops_or_skip, rows_of, shaken
from triops import Model, Ops, Padded, Ragged, check_gradient, models, to_numpy, use_ops
from triops.errors import ArgumentError, ArrayOwnerError, DTypeError, ShapeError
from triops.models import Linear, Relu, Softmax, add, chain, concatenate, residual, with_array
from triops.models.trees import map_arrays

FORMS = ("list", "ragged", "padded")
GAPS = (2, 0, 3, 1)


def _linear() -> Model:
    return shaken(Linear(NO, NI).initialize())


def _thinc(array: Any) -> Any:
    """Data of ours on NumPy as Thinc's own."""
    types = pytest.importorskip("thinc.types")
    if isinstance(array, Ragged):
        return types.Ragged(array.data, array.lengths)
    if isinstance(array, Padded):
        return types.Padded(array.data, array.size_at_t, array.lengths, array.indices)
    return array


def _like(ops: Ops, Y: Any) -> Any:
    return map_arrays(lambda y: floats(ops, *y.shape, seed=3), Y)


@pytest.mark.parametrize("name", ["with_array", "with_list", "with_padded", "with_ragged"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lengths", [LENGTHS, GAPS])
def test_as_thinc(name: str, form: str, lengths: tuple[int, ...]) -> None:
    """Thinc's adapter around a layer that doubles and records what it gets."""
    api = pytest.importorskip("thinc.api")
    ops = ops_or_skip("numpy")
    seen: dict[str, list[Any]] = {"ours": [], "theirs": []}

    class Doubled(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
            seen["ours"].append(X)
            return map_arrays(lambda x: 2 * x, X), lambda dY, sgd=None: map_arrays(lambda dy: 3 * dy, dY)

    def doubled(model: Any, X: Any, is_train: bool) -> Any:
        seen["theirs"].append(X)
        return scaled(2, X), lambda dY: scaled(3, dY)

    def scaled(factor: int, data: Any) -> Any:
        if isinstance(data, list):
            return [factor * item for item in data]
        if hasattr(data, "size_at_t"):
            return type(data)(factor * data.data, data.size_at_t, data.lengths, data.indices)
        return type(data)(factor * data.data, data.lengths) if hasattr(data, "dataXd") else factor * data

    with use_ops(ops):
        ours, X = getattr(models, name)(Doubled()), formed(ops, floats(ops, sum(lengths), NI), form, lengths)
    theirs = getattr(api, name)(api.Model("doubled", doubled))
    Y, backprop = ours.begin_update(X)
    peer, back = theirs(_thinc(X), True)
    _same(Y, peer)
    _same(backprop(Y), back(peer))
    if (name, form) != ("with_array", "padded"):  # of Padded, rows go in here, and (L, N, W) in Thinc
        _same(seen["ours"][0], seen["theirs"][0])


def _same(one: Any, other: Any) -> None:
    if isinstance(one, list):
        assert isinstance(other, list)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
        return
    assert type(one).__name__ == type(other).__name__
    for name in ("data", "lengths", "size_at_t", "indices") if not isinstance(one, np.ndarray) else ():
        if hasattr(one, name):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["list2array", "list2ragged", "list2padded", "ragged2list", "padded2list"])
def test_conversions_as_thincs(name: str) -> None:
    pytest.importorskip("thinc")
    module = importlib.import_module(f"thinc.layers.{name}")
    ops = ops_or_skip("numpy")
    with use_ops(ops):
        X = formed(ops, floats(ops, sum(GAPS), NI), name.split("2")[0], GAPS)
        Y, backprop = getattr(models, name)().begin_update(X)
    peer, back = getattr(module, name)()(_thinc(X), True)
    _same(Y, peer)
    if name != "ragged2list":  # whose backprop in Thinc 8.3 returns a pair in place of Ragged
        _same(backprop(Y), back(peer))


def test_a_list_costs_one_concatenation_and_views(ops: Ops) -> None:
    seen = []

    class Twice(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
            seen.append(X)
            return 2 * X, lambda dY, sgd=None: dY

    X = formed(ops, floats(ops, N, NI), "ragged")
    assert with_array(Twice()).predict(X).lengths is X.lengths
    assert seen[0] is X.data
    Ys = with_array(Twice()).predict(formed(ops, floats(ops, N, NI), "list"))
    if ops.name == "numpy":
        assert len({id(Y.base) for Y in Ys}) == 1


@pytest.mark.parametrize("name", ["with_array", "with_list", "with_ragged", "with_padded", "with_flatten"])
def test_an_empty_list(name: str, ops: Ops) -> None:
    model = getattr(models, name)(_linear())
    Y, backprop = model.begin_update([])
    assert (Y, backprop([])) == ([], [])
    assert getattr(models, name)(Linear(NO, NI)).initialize([], []).get_dim("nO") == NO


@pytest.mark.parametrize("form", FORMS)
def test_sequences_without_rows_are_kept(form: str, ops: Ops) -> None:
    X = formed(ops, floats(ops, sum(GAPS), NI), form, GAPS)
    model = with_array(_linear())
    Y, backprop = model.begin_update(X)
    np.testing.assert_allclose(
        rows_of(ops, Y), to_numpy(model.layers[0].predict(ops.asarray(rows_of(ops, X)))), rtol=1e-6
    )
    assert rows_of(ops, backprop(Y)).shape == (sum(GAPS), NI)
    check_gradient(model, X)


def test_padding_stays_zero(ops: Ops) -> None:
    """A bias would make it something else, and windows over it would read that."""
    X = formed(ops, floats(ops, sum(GAPS), NI), "padded", GAPS)
    Y, backprop = with_array(_linear()).begin_update(X)
    dX = backprop(_like(ops, Y))
    for data in (Y.data, dX.data):
        for step, size in enumerate(to_numpy(X.size_at_t).tolist()):
            assert to_numpy(data)[step, :size].any()
            assert not to_numpy(data)[step, size:].any()


def test_an_order_among_equals_is_kept(ops: Ops) -> None:
    sequences = Ragged(floats(ops, 6, NI), ops.asarray(np.array([2, 2, 2])))
    X = ops.ragged2padded(sequences, ops.asarray(np.array([1, 2, 0])))
    for adapter in (models.with_list, models.with_ragged, models.with_padded, with_array):
        Y, backprop = adapter(with_array(_linear())).begin_update(X)
        for data in (Y, backprop(_like(ops, Y))):
            assert to_numpy(data.indices).tolist() == [1, 2, 0]


def test_an_array_of_steps_is_padded_data(ops: Ops) -> None:
    model, X = models.with_padded(with_array(_linear())), floats(ops, 2, 3, NI)
    Y, backprop = model.begin_update(X)
    assert Y.shape == (2, 3, NO)
    assert backprop(Y).shape == X.shape
    check_gradient(model, X)
    with pytest.raises(ShapeError, match=r"an array \(L, N, ...\) of N sequences .* put sequences in a list"):
        model.predict(X[0])


def test_reshape_takes_any_rank(ops: Ops) -> None:
    model, X = models.with_reshape(_linear()), floats(ops, 2, 3, 4, NI)
    Y, backprop = model.begin_update(X)
    assert Y.shape == (2, 3, 4, NO)
    assert backprop(Y).shape == X.shape
    assert model.predict(X[:0]).shape == (0, 3, 4, NO)
    check_gradient(model, X)
    fresh = models.with_reshape(Linear()).initialize(X, Y)
    assert (fresh.get_dim("nI"), fresh.get_dim("nO")) == (NI, NO)


def test_flatten_takes_lists_of_anything(ops: Ops) -> None:
    class Lengths(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
            return ops.asarray([[float(len(word))] for word in X]), lambda dY, sgd=None: None

    model = models.with_flatten(Lengths())
    Y, backprop = model.begin_update([["a", "few"], [], ["words"]])
    assert [to_numpy(y).tolist() for y in Y] == [[[1.0], [3.0]], [], [[5.0]]]
    assert backprop(Y) is None


@pytest.mark.parametrize("form", ["array", *FORMS])
def test_ids_have_no_gradient(form: str, ops: Ops) -> None:
    model = with_array(models.Embed(NO, 7)).initialize()
    Y, backprop = model.begin_update(formed(ops, ids(ops, N, below=7), form))
    assert rows_of(ops, Y).shape == (N, NO)
    assert backprop(Y) is None
    assert model.layers[0].has_grad("E")


def test_layers_that_take_arrays_say_what_to_do_with_sequences(ops: Ops) -> None:
    for form in FORMS:
        with pytest.raises(DTypeError, match=r"X must be a floating array .* wrap the layer in with_array"):
            _linear().predict(formed(ops, floats(ops, N, NI), form))


def test_what_is_no_sequence(ops: Ops) -> None:
    model = with_array(_linear())
    with pytest.raises(DTypeError, match=r"^with_array: X must be a list of arrays, .* got dict"):
        model.predict({})
    with pytest.raises(DTypeError, match=r"^with_array: X must be a list of arrays, .* got list of 2 of list"):
        model.predict([[1.0], [2.0]])
    with pytest.raises(DTypeError, match=r"^list2ragged: X must be a list of arrays, got Ragged: .* into Ragged"):
        models.list2ragged().predict(formed(ops, floats(ops, N, NI), "ragged"))
    with pytest.raises(ArgumentError, match="with_array: pad must be an integer from 0, got -1"):
        with_array(Linear(), pad=-1)
    with pytest.raises(ArgumentError, match="with_array: expected models, got int"):
        with_array(3)  # type: ignore[arg-type]


def test_arrays_of_another_backend(ops: Ops) -> None:
    other = ops_or_skip("jax" if ops.name == "numpy" else "numpy")
    for form in FORMS:
        with pytest.raises((ArrayOwnerError, DTypeError)):
            with_array(_linear()).predict(formed(other, floats(other, N, NI), form))


def test_rows_must_be_kept(ops: Ops) -> None:
    class First(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
            return X[:1], lambda dY, sgd=None: dY

    for form in ("ragged", "padded"):
        with pytest.raises(
            ShapeError, match=r"a row for each of its 1?\d rows, got shape \(1, 5\): use with_list"
        ):
            with_array(First()).predict(formed(ops, floats(ops, N, NI), form))
    with pytest.raises(ShapeError, match="lengths, with pad 0, must add up to the rows of X, 1, got 6"):
        with_array(First()).predict(formed(ops, floats(ops, N, NI), "list"))


@pytest.mark.parametrize("form", FORMS)
def test_a_gradient_must_be_of_the_kind_and_lengths_of_y(form: str, ops: Ops) -> None:
    model, X = with_array(_linear()), formed(ops, floats(ops, N, NI), form)
    Y, backprop = model.begin_update(X)
    with pytest.raises((DTypeError, ShapeError), match=r"^with_array: dY must be .*, as Y is, got \w+: give"):
        backprop(floats(ops, N, NO))
    others = formed(ops, floats(ops, N, NO), form, (1, 2, 3))
    with pytest.raises(ShapeError, match=r"^with_array( > 0:linear)?: dY must have"):
        backprop(others)
    fewer = formed(ops, floats(ops, N, NO), form, (3, 3))
    with pytest.raises(ShapeError, match=r"^with_array: dY must (have|be)"):
        backprop(fewer)
    with pytest.raises(DTypeError, match="dY is float64 and Y is float32"):
        backprop(map_arrays(lambda y: ops.asarray(y, "float64"), Y))


def test_outputs_must_be_alike_to_come_together(ops: Ops) -> None:
    Xs = formed(ops, floats(ops, N, NI), "list")
    message = r"of one kind and the same lengths, got list of 3 and Ragged"
    for combinator in (add, concatenate):
        with pytest.raises(ShapeError, match=message):
            combinator(with_array(Relu(NI, NI)), models.list2ragged()).initialize().predict(Xs)
    with pytest.raises(ShapeError, match=message):
        residual(models.list2ragged()).predict(Xs)

    class Turned(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
            return Ragged(X.data, X.lengths[::-1]), lambda dY, sgd=None: dY

    ragged = formed(ops, floats(ops, N, NI), "ragged")
    with pytest.raises(ShapeError, match=r"Ragged of lengths \[2, 1, 3\] and Ragged of \[3, 1, 2\]"):
        residual(Turned()).predict(ragged)
    uneven = [Xs[0], Xs[1][:, :1]]
    with pytest.raises(ShapeError, match=r"^concatenate: a layer's arrays must be of one width, got \[1, 5\]"):
        concatenate(models.noop(), models.noop()).predict(uneven)


@pytest.mark.parametrize("form", FORMS)
def test_a_tagger_learns_its_dims_and_trains(form: str, ops: Ops) -> None:
    model = chain(
        concatenate(with_array(Relu(3)), with_array(Relu(4))),
        residual(with_array(Relu())),
        with_array(Softmax()),
    )
    X = formed(ops, floats(ops, N, NI), form)
    labels = formed(ops, floats(ops, N, 2), form)
    model.initialize(X, labels)
    assert (model.get_dim("nI"), model.get_dim("nO")) == (NI, 2)
    assert model.expects_logit_gradient
    Y, backprop = model.begin_update(X)
    dX = backprop(Y)
    assert rows_of(ops, dX).shape == (N, NI)
    again = chain(
        concatenate(with_array(Relu(3)), with_array(Relu(4))),
        residual(with_array(Relu())),
        with_array(Softmax()),
    ).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(rows_of(ops, again.predict(X)), rows_of(ops, Y))
    check_gradient(model, X)


def test_label_samples_say_how_many_classes(ops: Ops) -> None:
    X = formed(ops, floats(ops, N, NI), "list")
    Y = formed(ops, ops.asarray(np.array([0, 2, 1, 0, 3, 1])), "list")
    assert with_array(Softmax()).initialize(X, Y).get_dim("nO") == 4


def test_dropout_takes_every_form(ops: Ops) -> None:
    for form in FORMS:
        X = formed(ops, floats(ops, N, NI), form)
        Y, backprop = models.Dropout(0.5).begin_update(X)
        assert type(Y) is type(X)
        assert (rows_of(ops, Y) == 0).any()
        np.testing.assert_array_equal(rows_of(ops, backprop(Y)) == 0, rows_of(ops, Y) == 0)


def test_reductions_and_windows_say_what_they_take(ops: Ops) -> None:
    X = floats(ops, N, NI)
    with pytest.raises(DTypeError, match="X must be Ragged or a list of arrays, got an array"):
        models.reduce_mean().predict(X)
    with pytest.raises(ShapeError, match="reduce_max: lengths must all be 1 or more, got 0"):
        models.reduce_max().predict(formed(ops, X, "list", (2, 0, 4)))
    with pytest.raises(ArgumentError, match="expand_window: window_size must be an integer from 0, got -1"):
        models.expand_window(-1)
    with pytest.raises(DTypeError, match="expand_window: X must be a floating array"):
        models.expand_window().predict(ids(ops, N, 2, below=3))


@pytest.mark.parametrize("how", ["sum", "mean"])
@pytest.mark.parametrize("form", FORMS)
def test_sequences_without_rows_add_up_to_nothing(how: str, form: str, ops: Ops) -> None:
    model, X = getattr(models, f"reduce_{how}")(), formed(ops, floats(ops, sum(GAPS), NI), form, GAPS)
    Y, backprop = model.begin_update(X)
    assert to_numpy(Y).any(axis=1).tolist() == [True, False, True, True]
    assert rows_of(ops, backprop(Y)).shape == (sum(GAPS), NI)


def test_windows_around_zeros_between_arrays_do_not_cross_them(ops: Ops) -> None:
    Xs = formed(ops, floats(ops, sum(GAPS), NI), "list", GAPS)
    padded = with_array(models.expand_window(2), pad=2).predict(Xs)
    np.testing.assert_array_equal(rows_of(ops, padded), rows_of(ops, models.expand_window(2).predict(Xs)))
