"""Maxout."""

from __future__ import annotations

from typing import Any

from triops.models.initializers import Initializer, glorot_uniform_init, zero_init
from triops.models.layers.tail import begin_tail, hidden_tail, initialize_tail
from triops.models.model import Model
from triops.models.one_step import takes_first_turn
from triops.models.seeds import derive_seed
from triops.types import Backprop, Floats2d

__all__ = ["Maxout"]


class Maxout(Model):
    """Y = maxₚ (X Wₚᵀ + bₚ), then layer normalisation where `normalize`, then dropout. Goodfellow et al. 2013,
    Maxout Networks.

    X: (N, nI) floats. Y: (N, nO). Parameters W: (nO, nP, nI), b: (nO, nP). dropout: the layer's own rate; None
    follows the `drop` that `begin_update` is given.
    """

    def __init__(
        self,
        nO: int | None = None,
        nI: int | None = None,
        nP: int = 3,
        *,
        init_W: Initializer = glorot_uniform_init,
        init_b: Initializer = zero_init,
        dropout: float | None = None,
        normalize: bool = False,
    ) -> None:
        super().__init__(dims={"nO": nO, "nI": nI, "nP": nP}, layers=hidden_tail(nO, normalize, dropout))
        self.add_param("W", ("nO", "nP", "nI"), init_W)
        self.add_param("b", ("nO", "nP"), init_b)

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        seeds = [derive_seed(seed, i) for i in range(len(self.layers))]
        initialize_tail(self.layers, self.get_dim("nO"), seeds)

    def begin_update(self, X: Floats2d, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        self.check_floats(X, width="nI")
        W = self.get_param("W")
        best, which = self.ops.affine_maxout(X, W, self.get_param("b"))
        Y, backprop_tail = begin_tail(self.layers, best, drop)
        wants_dX = not takes_first_turn(self, Maxout)

        def backprop(dY: Floats2d, sgd: Any = None) -> Floats2d | None:
            dX, dW, db = self.ops.backprop_affine_maxout(backprop_tail(dY), X, W, which, wants_dX=wants_dX)
            self.inc_grad("W", dW)
            self.inc_grad("b", db)
            return dX

        return Y, backprop
