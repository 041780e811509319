"""The linear layer."""

from __future__ import annotations

from typing import Any

from triops.models.initializers import Initializer, glorot_uniform_init, zero_init
from triops.models.model import Model
from triops.models.one_step import takes_first_turn
from triops.types import Backprop, Floats2d

__all__ = ["Linear"]


class Linear(Model):
    """Y = X Wᵀ + b.

    X: (N, nI) floats. Y: (N, nO). Parameters W: (nO, nI), b: (nO,). An unknown nO or nI comes from the sample
    that `initialize` gets.
    """

    def __init__(
        self,
        nO: int | None = None,
        nI: int | None = None,
        *,
        init_W: Initializer = glorot_uniform_init,
        init_b: Initializer = zero_init,
    ) -> None:
        super().__init__(dims={"nO": nO, "nI": nI})
        self.add_param("W", ("nO", "nI"), init_W)
        self.add_param("b", ("nO",), init_b)

    def begin_update(self, X: Floats2d, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        self.check_floats(X, width="nI")
        W = self.get_param("W")

        wants_dX = not takes_first_turn(self, Linear)

        def backprop(dY: Floats2d, sgd: Any = None) -> Floats2d | None:
            dX, dW, db = self.ops.backprop_affine(dY, X, W, wants_dX=wants_dX)
            self.inc_grad("W", dW)
            self.inc_grad("b", db)
            return dX

        return self.ops.affine(X, W, self.get_param("b")), backprop
