"""A train step lets go of what its backward pass has used; a callback of one's own may be called again."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

import triops
from tests.models.samples import NI, N, floats
from triops import Model, Ops
from triops.errors import ArgumentError
from triops.models import SGD, L2Distance, Linear, chain


class Kept:
    """Something large."""


class Holding(Model):
    """Y = X; its callback holds `Kept`."""

    held: Any = None

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        kept = Kept()
        type(self).held = weakref.ref(kept)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            assert kept is not None
            return dY

        return X, backprop


class Looking(Model):
    """Y = X; its backward pass looks whether what `Holding` held is still there."""

    found: Any = None

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        def backprop(dY: Any, sgd: Any = None) -> Any:
            type(self).found = Holding.held() is not None
            return dY

        return X, backprop


def test_a_step_lets_go_as_it_goes_back(ops: Ops) -> None:
    model = chain(Looking(), Holding(), Linear(NI, NI))
    X = floats(ops, N, NI)
    model.initialize(X)
    triops.compile_step(model, L2Distance(), SGD(0.1))(X, X)
    assert Looking.found is False


def test_a_callback_may_be_called_again(ops: Ops) -> None:
    model = chain(Looking(), Holding(), Linear(NI, NI))
    X = floats(ops, N, NI)
    model.initialize(X)
    Y, backprop = model.begin_update(X)
    first, again = backprop(Y), backprop(Y)
    assert Looking.found is True
    np.testing.assert_array_equal(triops.to_numpy(first), triops.to_numpy(again))


class Twice(Model):
    """Y = f(X), whose callback calls that of f two times."""

    def __init__(self, inner: Model) -> None:
        super().__init__(layers=[inner])

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        Y, backprop_inner = self.layers[0].begin_update(X, drop)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            return backprop_inner(dY) + backprop_inner(dY)

        return Y, backprop


def test_a_layer_that_goes_back_twice_is_told_so(ops: Ops) -> None:
    model = Twice(chain(Linear(NI, NI), Linear(NI, NI)))
    X = floats(ops, N, NI)
    model.layers[0].initialize(X)
    Y, backprop = model.begin_update(X)
    assert backprop(Y).shape == X.shape
    with pytest.raises(ArgumentError, match="backprop was called again in a train step"):
        triops.compile_step(model, L2Distance(), SGD(0.1))(X, X)
