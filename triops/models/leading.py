"""The first layer of a train step. Nobody asks for the gradient of a batch, and half of the products in this
layer's backward pass are for that alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from triops.models.combinators.chain import chain
from triops.models.model import Model

__all__ = ["takes_first_turn", "without_input_gradient"]

_first: ContextVar[int | None] = ContextVar("_first", default=None)


@contextmanager
def without_input_gradient(model: Model) -> Iterator[None]:
    """In this block the first layer of `model` may give None for dX, once."""
    while type(model) is chain and model.layers:
        model = model.layers[0]
    token = _first.set(model.id)
    try:
        yield
    finally:
        _first.reset(token)


def takes_first_turn(layer: Model, owner: type[Model]) -> bool:
    """Whether `layer` may leave out dX for this call. Not where it comes again, or its class takes what the
    `begin_update` of `owner` gives for more of its own."""
    if _first.get() != layer.id:
        return False
    _first.set(None)
    return type(layer).begin_update is owner.begin_update
