"""GRU."""

from __future__ import annotations

from typing import Any

from triops.models.layers.recurrent import RecurrentLayer
from triops.types import Backprop, Floats1d, Floats2d, Ints1d

__all__ = ["GRU"]


class GRU(RecurrentLayer):
    """Gated recurrent units over each sequence, as `LSTM` with three gates and no cells;
    `ops.gru_forward_training` has the formula.

    X, Y, bi, depth and dropout: as of `LSTM`. Parameters GRU: all weights and biases, in the order of the ops;
    H0: (depth, dirs, nH), what h starts as, which is trained.
    """

    gates = 3
    weights = "GRU"
    starts = ("H0", ("depth", "dirs", "nH"))

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
