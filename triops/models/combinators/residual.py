"""A model with a way around it."""

from __future__ import annotations

from functools import partial
from typing import Any

from triops.errors import ShapeError
from triops.models.combinators.combinator import Combinator
from triops.models.model import Model
from triops.models.seeds import derive_seed
from triops.models.trees import add_arrays, add_gradients, map_arrays
from triops.ops import Ops
from triops.types import Backprop

__all__ = ["residual"]


class residual(Combinator):
    """Y = X + f(X). He et al. 2016, Deep Residual Learning for Image Recognition.

    X, Y: arrays of one shape, lists of them, Ragged or Padded. A layer that does not know its width takes X's.
    """

    def __init__(self, layer: Model) -> None:
        super().__init__([layer], dims=("nI", "nO"))
        self.refuse_logit_gradients(self.layers)
        self._take_dims()

    def infer_dims(self, X: Any, Y: Any) -> None:
        """The layer infers its own."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        (layer,) = self.layers
        wanted = (Y if X is None else X) if layer.has_dim("nO") is None else None
        layer.initialize(X, wanted, derive_seed(seed, 0))
        self._take_dims()

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        Y, callback = self.layers[0].begin_update(X, drop)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            return add_gradients(self.ops, dY, callback(dY))

        return map_arrays(partial(_plus, self.ops), X, Y), backprop

    def _take_dims(self) -> None:
        nI, nO = (self.layers[0].maybe_get_dim(dim) for dim in ("nI", "nO"))
        if None not in (nI, nO) and nI != nO:
            raise ShapeError(
                f"residual adds the layer's output to its input: expected nO = nI = {nI}, got nO={nO}"
            )
        self.take_dim("nI", nI)
        self.take_dim("nO", nO)


def _plus(ops: Ops, x: Any, y: Any) -> Any:
    if x.shape != y.shape:
        raise ShapeError(
            f"residual adds the layer's output to its input: expected an output of shape {tuple(x.shape)}, "
            f"got {tuple(y.shape)}: make the layer with nO = nI"
        )
    return add_arrays(ops, x, y)
