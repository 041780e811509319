"""What combinators share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from triops.errors import ArgumentError, ArrayOwnerError
from triops.models.model import Model

__all__ = ["Combinator"]


class Combinator(Model):
    """Layers, and dims taken over from them."""

    def __init__(self, layers: Iterable[Any], dims: Iterable[str] = ()) -> None:
        layers = list(layers)
        for layer in layers:
            if not isinstance(layer, Model):
                raise ArgumentError(
                    f"{type(self).__name__}: expected models, got {type(layer).__name__}: give it layers "
                    f"such as Relu(64)"
                )
            if layer.ops.backend is not layers[0].ops.backend:
                raise ArrayOwnerError(
                    f"{type(self).__name__}: the layers must share one backend, got {layers[0].name} on "
                    f"{layers[0].ops!r} and {layer.name} on {layer.ops!r}: move one with model.to(...)"
                )
        super().__init__(layers=layers, dims=dict.fromkeys(dims))

    def take_dim(self, name: str, size: int | None) -> None:
        """Set a dimension that a layer knows by now."""
        if size is not None and name in self.dim_names:
            self.set_dim(name, size)

    def refuse_logit_gradients(self, layers: Iterable[Model]) -> None:
        """Refuse output layers where the gradient of their output, not of a loss, would come back."""
        for layer in layers:
            if layer.expects_logit_gradient:
                raise ArgumentError(
                    f"{type(self).__name__}: {layer.name} is an output layer, whose backprop takes a loss's "
                    f"gradient of the scores: put it last in a chain, or use softmax_activation() here"
                )
