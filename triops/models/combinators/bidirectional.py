"""Sequences read both ways."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from triops.errors import DTypeError
from triops.models.combinators.combinator import Combinator
from triops.models.model import Model
from triops.models.seeds import derive_seed
from triops.models.trees import add_gradients, map_arrays
from triops.ragged import Padded
from triops.types import Backprop

__all__ = ["bidirectional"]


class bidirectional(Combinator):
    """Y = [f(X), reversed g(reversed X)] along the last dimension, each sequence being reversed by itself, so
    that row t of both halves is about row t of X. Schuster and Paliwal 1997, Bidirectional Recurrent Neural
    Networks.

    X: Padded, with data (L, N, nI); other forms by `with_padded(bidirectional(...))`. l2r: f. r2l: g, a copy of f
    where it is left out, with parameters of its own. Y: Padded, with data of both widths. Thinc 8.3 has the
    name, and neither reverses nor splits.
    """

    def __init__(self, l2r: Model, r2l: Model | None = None) -> None:
        twin = l2r.copy() if r2l is None and isinstance(l2r, Model) else r2l
        super().__init__([l2r, twin], dims=("nI", "nO"))
        self.refuse_logit_gradients(self.layers)
        self._take_dims()

    def infer_dims(self, X: Any, Y: Any) -> None:
        """The layers infer theirs."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        # How a total width is shared out cannot be told.
        for i, layer in enumerate(self.layers):
            layer.initialize(X, None, derive_seed(seed, i))
        self._take_dims()

    def begin_update(self, X: Padded, drop: float | None = 0.0) -> tuple[Padded, Backprop]:
        if not isinstance(X, Padded):
            raise DTypeError(f"X must be Padded, got {type(X).__name__}: use with_padded(bidirectional(...))")
        forth, back = self.layers
        Y, callback = forth.begin_update(X, drop)
        Z, other_callback = back.begin_update(self._reversed(X), drop)
        width = Y.data.shape[-1]

        def backprop(dY: Padded, sgd: Any = None) -> Any:
            d_other = other_callback(self._reversed(replace(dY, data=dY.data[..., width:])))
            dX = callback(replace(dY, data=dY.data[..., :width]))
            return add_gradients(self.ops, dX, None if d_other is None else self._reversed(d_other))

        return map_arrays(lambda y, z: self.ops.xp.concatenate((y, z), axis=-1), Y, self._reversed(Z)), backprop

    def _reversed(self, X: Padded) -> Padded:
        """Each sequence from its end; what is after the end stays there."""
        xp, (steps, count) = self.ops.xp, X.data.shape[:2]
        step = xp.arange(steps, dtype="int32")[:, None]
        mirrored = xp.where(step < X.lengths, X.lengths - 1 - step, step)
        return replace(X, data=X.data[mirrored, xp.arange(count, dtype="int32")])

    def _take_dims(self) -> None:
        widths = [size for layer in self.layers if (size := layer.maybe_get_dim("nO")) is not None]
        self.take_dim("nI", self.layers[0].maybe_get_dim("nI"))
        self.take_dim("nO", sum(widths) if len(widths) == 2 else None)
