"""What passes leave out. Where nobody asks for the gradient of the batch: half of the products of the first
layer's backward pass, which are for it. In a train step, whose callback is called once: activations after use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from triops.errors import ArgumentError
from triops.scoped import Scoped
from triops.types import Backprop

if TYPE_CHECKING:
    from triops.models.model import Model

__all__ = ["back_through", "give_first_turn", "in_one_step", "is_in_one_step", "takes_first_turn", "without_dX"]

_first: Scoped[int | None] = Scoped(None)
_in_step: Scoped[bool] = Scoped(False)


def without_dX(model: Model) -> AbstractContextManager[None]:
    """In this block the forward pass of `model` is one whose callback may give None for dX."""
    return _first.during(model.id)


@contextmanager
def in_one_step(model: Model) -> Iterator[None]:
    """In this block the forward pass of `model` is one of a train step."""
    with without_dX(model), _in_step.during(True):
        yield


def is_in_one_step() -> bool:
    """Whether a forward pass is."""
    return _in_step.get()


def takes_first_turn(layer: Model, owner: type[Model]) -> bool:
    """Whether `layer` gets the batch itself in this call, and may give None for dX. Not where it comes again, or
    its class takes what the `begin_update` of `owner` gives for more of its own."""
    if _first.get() != layer.id:
        return False
    _first.set(None)
    return type(layer).begin_update is owner.begin_update


def give_first_turn(layer: Model) -> None:
    """Let the layer have the turn, which gets the batch as it came."""
    _first.set(layer.id)


def back_through(callbacks: list[Backprop], dY: Any, let_go: bool) -> Any:
    """The callbacks, the last one first, each let go of before the next where that is asked for. Raises
    ArgumentError where they have been."""
    if not let_go:
        for callback in reversed(callbacks):
            dY = callback(dY)
        return dY
    if not callbacks:
        raise ArgumentError(
            "backprop was called again in a train step, which lets go of activations as it goes back: call it "
            "once, or train with begin_update, its callback and finish_update"
        )
    while callbacks:
        dY = callbacks.pop()(dY)
    return dY
