"""One layer for both of a pair."""

from __future__ import annotations

from typing import Any

from triops.errors import ArgumentError
from triops.models.combinators.combinator import Combinator
from triops.models.model import Model
from triops.models.seeds import derive_seed
from triops.types import Backprop

__all__ = ["siamese"]


class siamese(Combinator):
    """Y = similarity((f(X₁), f(X₂))), f with the same parameters for both. Bromley et al. 1993, Signature
    Verification using a "Siamese" Time Delay Neural Network.

    X: a pair (X₁, X₂) of what `layer` takes. similarity: takes a pair of its outputs. Y: what that returns.
    """

    def __init__(self, layer: Model, similarity: Model) -> None:
        known = {"nI": getattr(layer, "dim_names", ()), "nO": getattr(similarity, "dim_names", ())}
        super().__init__([layer, similarity], dims=[name for name, names in known.items() if name in names])
        self.refuse_logit_gradients(self.layers[:1])
        self._take_dims()

    def infer_dims(self, X: Any, Y: Any) -> None:
        """The layers infer theirs."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        layer, similarity = self.layers
        if X is None:
            outputs = None
            layer.initialize(seed=derive_seed(seed, 0))
        else:
            self._check(X)
            layer.initialize(X[0], None, derive_seed(seed, 0))
            outputs = (layer.predict(X[0]), layer.predict(X[1]))
        similarity.initialize(outputs, Y, derive_seed(seed, 1))
        self._take_dims()

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        self._check(X)
        layer, similarity = self.layers
        (first, callback), (second, other_callback) = (layer.begin_update(x, drop) for x in X)
        Y, backprop_similarity = similarity.begin_update((first, second), drop)

        def backprop(dY: Any, sgd: Any = None) -> tuple[Any, Any]:
            d_first, d_second = backprop_similarity(dY)
            return callback(d_first), other_callback(d_second)

        return Y, backprop

    def _take_dims(self) -> None:
        for name, layer in zip(("nI", "nO"), self.layers, strict=True):
            self.take_dim(name, layer.maybe_get_dim(name))

    def _check(self, X: Any) -> None:
        if not isinstance(X, list | tuple) or len(X) != 2:
            raise ArgumentError(f"siamese: X must be a pair (X1, X2) of batches, got {type(X).__name__}")
