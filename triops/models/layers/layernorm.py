"""Layer normalisation."""

from __future__ import annotations

from typing import Any

from triops.models.initializers import one_init, zero_init
from triops.models.model import Model
from triops.types import Backprop, Floats2d

__all__ = ["LayerNorm"]


class LayerNorm(Model):
    """Y = (X - μ)/√(σ² + 1e-8) G + b, μ and σ² the mean and variance of a row. Ba, Kiros and Hinton 2016,
    Layer Normalization.

    X, Y: (N, nI) floats. Parameters G: (nI,), ones at first, and b: (nI,). nO is nI.
    """

    full_precision = True

    def __init__(self, nI: int | None = None) -> None:
        super().__init__(dims={"nI": nI, "nO": nI})
        self.add_param("G", ("nI",), one_init)
        self.add_param("b", ("nI",), zero_init)

    def infer_dims(self, X: Any, Y: Any) -> None:
        super().infer_dims(X if X is not None else Y, None)
        self.set_dim("nO", self.get_dim("nI"))

    def begin_update(self, X: Floats2d, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        self.check_floats(X, width="nI")
        G = self.get_param("G")
        Y, mu, rstd = self.ops.layer_norm(X, G, self.get_param("b"))

        def backprop(dY: Floats2d, sgd: Any = None) -> Floats2d:
            dX, dG, db = self.ops.backprop_layer_norm(dY, X, mu, rstd, G)
            self.inc_grad("G", dG)
            self.inc_grad("b", db)
            return dX

        return Y, backprop
