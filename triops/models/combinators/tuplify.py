"""Outputs in a tuple."""

from __future__ import annotations

from typing import Any

from triops.models.combinators.combinator import Combinator
from triops.models.model import Model
from triops.models.seeds import derive_seed
from triops.models.trees import add_gradients
from triops.types import Backprop

__all__ = ["tuplify"]


class tuplify(Combinator):
    """Y = (f₁(X), f₂(X), …), as for a layer after it that needs an input besides what was made of it.

    X: whatever the layers take. Y: a tuple of their outputs. The gradients of X add up.
    """

    def __init__(self, *layers: Model) -> None:
        names = {name for layer in layers for name in getattr(layer, "dim_names", ())}
        super().__init__(layers, dims=names & {"nI"})
        self.refuse_logit_gradients(self.layers)
        self._take_dims()

    def infer_dims(self, X: Any, Y: Any) -> None:
        """The layers infer theirs."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        wanted = Y if isinstance(Y, list | tuple) and len(Y) == len(self.layers) else [None] * len(self.layers)
        for i, layer in enumerate(self.layers):
            layer.initialize(X, wanted[i], derive_seed(seed, i))
        self._take_dims()

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[tuple[Any, ...], Backprop]:
        pairs = [layer.begin_update(X, drop) for layer in self.layers]

        def backprop(dY: Any, sgd: Any = None) -> Any:
            dX = None
            for (_, callback), dy in zip(pairs, dY, strict=True):
                if dy is not None:
                    dX = add_gradients(self.ops, dX, callback(dy))
            return dX

        return tuple(Y for Y, _ in pairs), backprop

    def _take_dims(self) -> None:
        known = [size for layer in self.layers if (size := layer.maybe_get_dim("nI")) is not None]
        self.take_dim("nI", known[0] if known else None)
