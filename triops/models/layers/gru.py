"""GRU."""

from __future__ import annotations

from typing import Any, ClassVar

from triops.models.initializers import Initializer, glorot_uniform_init, zero_init
from triops.models.layers.recurrent import RecurrentLayer
from triops.types import Backprop, Floats1d, Floats2d, Ints1d

__all__ = ["GRU"]


class GRU(RecurrentLayer):
    """Gated recurrent units over each sequence, as `LSTM` with three gates and no cells;
    `ops.gru_forward_training` has the formula.

    X, Y, bi, depth and dropout: as of `LSTM`. Parameters GRU: all weights and biases, in the order of the ops;
    H0: (depth, dirs, nH), what h starts as, which is trained.
    """

    gates: ClassVar[int] = 3

    def __init__(
        self,
        nO: int | None = None,
        nI: int | None = None,
        *,
        bi: bool = False,
        depth: int = 1,
        dropout: float = 0.0,
        init_W: Initializer = glorot_uniform_init,
        init_b: Initializer = zero_init,
    ) -> None:
        super().__init__(nO, nI, bi, depth, dropout, init_W, init_b)
        self.add_param("GRU", ("weights",), self.draw_weights)
        self.add_param("H0", ("depth", "dirs", "nH"), zero_init)

    def begin_packed(
        self, X: Floats2d, weights: Floats1d, sizes: Ints1d, count: int, training: bool
    ) -> tuple[Floats2d, Backprop]:
        ops = self.ops
        network = (weights, self.get_param("H0"), X, sizes, count)
        if training:
            Y, state = ops.gru_forward_training(*network)
        else:
            Y, state = ops.gru_forward_inference(*network), ()

        def backprop(dY: Floats2d, sgd: Any = None) -> tuple[Floats2d, Floats1d]:
            kept = state or ops.gru_forward_training(*network)[1]
            dX, d_weights, dH0 = ops.backprop_gru(dY, sizes, weights, kept, count)
            self.inc_grad("H0", dH0)
            return dX, d_weights

        return Y, backprop
