"""A layer for each item of a list."""

from __future__ import annotations

from typing import Any

from triops.errors import DTypeError
from triops.models.combinators.combinator import Combinator
from triops.models.model import Model
from triops.models.seeds import derive_seed
from triops.types import Backprop

__all__ = ["map_list"]


class map_list(Combinator):
    """Y = [f(x) for x in X]. `with_array` does the same at once for layers that treat each row alone.

    X: a list of what the layer takes. Y: a list of what it returns.
    """

    def __init__(self, layer: Model) -> None:
        super().__init__([layer], dims=[dim for dim in getattr(layer, "dim_names", ()) if dim in ("nI", "nO")])
        self._take_dims()

    @property
    def expects_logit_gradient(self) -> bool:
        return self.layers[0].expects_logit_gradient

    def infer_dims(self, X: Any, Y: Any) -> None:
        """The layer infers its own."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        self.layers[0].initialize(X[0] if X else None, Y[0] if Y else None, derive_seed(seed, 0))
        self._take_dims()

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[list[Any], Backprop]:
        if not isinstance(X, list | tuple):
            raise DTypeError(f"X must be a list, got {type(X).__name__}: give the layer itself one item")
        pairs = [self.layers[0].begin_update(x, drop) for x in X]

        def backprop(dY: Any, sgd: Any = None) -> list[Any]:
            return [callback(dy) for (_, callback), dy in zip(pairs, dY, strict=True)]

        return [Y for Y, _ in pairs], backprop

    def _take_dims(self) -> None:
        for dim in self.dim_names:
            self.take_dim(dim, self.layers[0].maybe_get_dim(dim))
