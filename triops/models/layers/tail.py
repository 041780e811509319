"""What may follow a hidden layer's activation: normalisation and dropout."""

from __future__ import annotations

from typing import Any

from triops.models.layers.dropout import Dropout
from triops.models.layers.layernorm import LayerNorm
from triops.models.model import Model
from triops.types import Backprop

__all__ = ["begin_tail", "hidden_tail", "initialize_tail"]


def hidden_tail(nO: int | None, normalize: bool, dropout: float | None) -> list[Model]:
    """A LayerNorm where asked for, and Dropout, which follows `drop` where it has no rate of its own."""
    return [*([LayerNorm(nO)] if normalize else []), Dropout(dropout)]


def initialize_tail(layers: list[Model], width: int, seeds: list[int]) -> None:
    """Each layer of a tail keeps the width it is given."""
    for layer, seed in zip(layers, seeds, strict=True):
        if layer.has_dim("nI") is None:
            layer.set_dim("nI", width)
        layer.initialize(seed=seed)


def begin_tail(layers: list[Model], Y: Any, drop: float | None) -> tuple[Any, Backprop]:
    """The layers one after the other."""
    callbacks = []
    for layer in layers:
        Y, callback = layer.begin_update(Y, drop)
        callbacks.append(callback)

    def backprop(dY: Any) -> Any:
        for callback in reversed(callbacks):
            dY = callback(dY)
        return dY

    return Y, backprop
