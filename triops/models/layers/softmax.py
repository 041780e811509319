"""The output layer of a classifier."""

from __future__ import annotations

from typing import Any

from triops.errors import ArgumentError
from triops.models.initializers import Initializer, zero_init
from triops.models.model import Model
from triops.models.one_step import takes_first_turn
from triops.models.precision import fitting, in_full
from triops.types import Backprop, Floats2d

__all__ = ["Softmax"]


class Softmax(Model):
    """Y = softmax((X Wᵀ + b) / temperature), an output layer.

    As in Thinc, `backprop` takes the gradient of the loss with respect to the scores that go into the
    softmax, which is what the losses here return and what `Yh - Y` is for the cross-entropy: no digit is lost
    in dividing by a probability and multiplying by it again. For a softmax within a model, where the gradient
    of Y comes back, use `softmax_activation()`.

    X: (N, nI) floats. Y: (N, nO), rows that sum to 1. Parameters W: (nO, nI), b: (nO,), zero at first.
    normalize_outputs False makes `predict` return the scores.
    """

    def __init__(
        self,
        nO: int | None = None,
        nI: int | None = None,
        *,
        init_W: Initializer = zero_init,
        init_b: Initializer = zero_init,
        normalize_outputs: bool = True,
        temperature: float = 1.0,
    ) -> None:
        if not temperature > 0:
            raise ArgumentError(f"Softmax: temperature must be above 0, got {temperature}")
        super().__init__(
            dims={"nO": nO, "nI": nI},
            attrs={"softmax_normalize": normalize_outputs, "softmax_temperature": temperature},
        )
        self.add_param("W", ("nO", "nI"), init_W)
        self.add_param("b", ("nO",), init_b)

    @property
    def expects_logit_gradient(self) -> bool:
        return True

    def begin_update(self, X: Floats2d, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        self.check_floats(X, width="nI")
        W = self.get_param("W")
        temperature = self.attrs["softmax_temperature"]
        scores = self.ops.affine(X, W, self.get_param("b"))
        wants_dX = not takes_first_turn(self, Softmax)

        def backprop(dY: Floats2d, sgd: Any = None) -> Floats2d | None:
            d_scores = dY if temperature == 1.0 else dY * (1.0 / temperature)
            dX, dW, db = self.ops.backprop_affine(fitting(d_scores, X), X, W, wants_dX=wants_dX)
            self.inc_grad("W", dW)
            self.inc_grad("b", db)
            return dX

        if drop is None and not self.attrs["softmax_normalize"]:
            return scores, backprop
        return self.ops.softmax(in_full(scores), temperature=temperature), backprop
