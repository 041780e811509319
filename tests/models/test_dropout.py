"""What `drop` and a layer's own rate mean, and how masks are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.samples import NI, NO, N, classifier, floats, ops_or_skip, shaken
from triops import Model, Ops, to_numpy, use_ops
from triops.errors import ArgumentError
from triops.models import SGD, Dropout, Embed, Maxout, Relu, Sigmoid, Softmax, chain

ROWS = 200


def share_of_zeros(ops: Ops, model: Model, drop: Any = 0.0) -> float:
    Y, _ = model.begin_update(ops.alloc((ROWS, NI)) + 1, drop=drop)
    return float((to_numpy(Y) == 0).mean())


def test_an_entry_is_zero_or_scaled_up(ops: Ops) -> None:
    X = floats(ops, ROWS, NI)
    Y, backprop = Dropout(0.25).initialize().begin_update(X)
    kept = to_numpy(Y) != 0
    assert (~kept).mean() == pytest.approx(0.25, abs=0.05)
    np.testing.assert_allclose(to_numpy(Y)[kept], to_numpy(X)[kept] / 0.75, rtol=1e-6)
    dX = to_numpy(backprop(X))
    np.testing.assert_array_equal(dX, to_numpy(Y))


def test_a_layer_without_a_rate_follows_drop(ops: Ops) -> None:
    model = Dropout().initialize()
    assert share_of_zeros(ops, model) == 0
    assert share_of_zeros(ops, model, 0.5) == pytest.approx(0.5, abs=0.06)
    assert share_of_zeros(ops, model, None) == 0


@pytest.mark.parametrize("drop", [0.0, 0.9])
def test_a_layers_own_rate_holds_whatever_drop_is(ops: Ops, drop: float) -> None:
    assert share_of_zeros(ops, Dropout(0.3).initialize(), drop) == pytest.approx(0.3, abs=0.06)
    assert share_of_zeros(ops, Dropout(0.0).initialize(), drop) == 0


def test_nothing_is_dropped_in_predict_or_where_it_is_switched_off(ops: Ops) -> None:
    model = Dropout(0.3).initialize()
    X = floats(ops, N, NI)
    assert model.predict(X) is X
    model.attrs["is_enabled"] = False
    assert model.begin_update(X)[0] is X
    model.attrs.update(is_enabled=True, dropout_rate=0.6)
    assert share_of_zeros(ops, model) == pytest.approx(0.6, abs=0.06)


@pytest.mark.parametrize(
    ("make", "with_drop"),
    [
        (lambda: Relu(NO, NI), True),
        (lambda: Relu(NO, NI, dropout=0.0), False),
        (lambda: Maxout(NO, NI, normalize=True), True),
        (lambda: Sigmoid(NO, NI), False),
        (lambda: Sigmoid(NO, NI, dropout=0.4), True),
        (lambda: Softmax(NO, NI), False),
    ],
)
def test_which_layers_follow_drop(ops: Ops, make: Any, with_drop: bool) -> None:
    model = shaken(make().initialize())
    X = floats(ops, ROWS, NI)
    dropped, _ = model.begin_update(X, drop=0.4)
    added_zeros = (to_numpy(dropped) == 0).mean() - (to_numpy(model.predict(X)) == 0).mean()
    assert (added_zeros > 0.1) == with_drop


def test_an_embedding_keeps_its_own_rate(ops: Ops) -> None:
    X = ops.asarray(np.zeros(ROWS), dtype="int32")
    for rate, expected in ((None, 0), (0.4, 0.4)):
        Y, _ = Embed(NI, 3, dropout=rate).initialize().begin_update(X, drop=0.9)
        assert (to_numpy(Y) == 0).mean() == pytest.approx(expected, abs=0.06)


def test_masks_are_the_same_bits_on_every_backend(ops: Ops) -> None:
    def masks(ops: Ops) -> list[Any]:
        with use_ops(ops):
            model = chain(Dropout(0.3), Dropout()).initialize(seed=4)
        return [to_numpy(model.begin_update(ops.alloc((N, NI)) + 1, drop=0.2)[0]) for _ in range(3)]

    for here, there in zip(masks(ops), masks(ops_or_skip("numpy")), strict=True):
        np.testing.assert_array_equal(here, there)


def test_masks_differ_by_call_and_layer_and_follow_the_seed(ops: Ops) -> None:
    ones = ops.alloc((N, NI)) + 1

    def masks(seed: int) -> list[bytes]:
        model = chain(Relu(NI, NI), Dropout(0.5), Dropout(0.5)).initialize(seed=seed)
        return [to_numpy(layer.begin_update(ones)[0]).tobytes() for layer in model.layers[1:] for _ in range(2)]

    assert len(set(masks(1))) == 4
    assert masks(1) == masks(1)
    assert set(masks(1)).isdisjoint(masks(2))


def test_each_array_of_a_list_has_a_mask_of_its_own(ops: Ops) -> None:
    ones = ops.alloc((N, NI)) + 1
    first, second = Dropout(0.5).initialize().begin_update([ones, ones])[0]
    assert not np.array_equal(to_numpy(first), to_numpy(second))


def test_training_that_is_saved_and_taken_up_draws_the_masks_that_come_next(ops: Ops) -> None:
    X, dY = floats(ops, N, NI), floats(ops, N, 3)

    def train(model: Model, steps: int) -> Model:
        for _ in range(steps):
            model.begin_update(X, drop=0.4)[1](dY, sgd=SGD(0.1))
        return model

    through = train(classifier().initialize(), 4)
    halfway = train(classifier().initialize(), 2)
    resumed = train(classifier().from_bytes(halfway.to_bytes()), 2)
    assert through.to_bytes() == resumed.to_bytes()


def test_without_initialize_masks_are_drawn_too(ops: Ops) -> None:
    assert share_of_zeros(ops, Dropout(0.4)) == pytest.approx(0.4, abs=0.06)


@pytest.mark.parametrize("rate", [1.0, 1, -0.1, 2.0, float("nan")])
def test_rates_that_leave_nothing_are_refused(ops: Ops, rate: float) -> None:
    with pytest.raises(ArgumentError, match=f"Dropout: rate must be from 0 up to, not including, 1, got {rate}"):
        Dropout(rate)
    with pytest.raises(ArgumentError, match="rate must be"):
        Relu(NO, NI, dropout=rate)
    with pytest.raises(ArgumentError, match=f"^chain > 0:relu > 0:dropout: .*drop must be from 0.* got {rate}"):
        classifier().initialize().begin_update(floats(ops, N, NI), drop=rate)
