"""LSTM."""

from __future__ import annotations

from typing import Any

from triops.models.layers.recurrent import RecurrentLayer
from triops.types import Backprop, Floats1d, Floats2d, Ints1d

__all__ = ["LSTM"]


class LSTM(RecurrentLayer):
    """Long short-term memory over each sequence, from its first row to its last, and with `bi` from its last to
    its first as well, both outputs side by side; `depth` of these one after the other.
    `ops.lstm_forward_training` has the formula.

    X: sequences of rows of nI floats: Padded, Ragged, a list of arrays (Tₙ, nI), or one array (T, nI), which is
    one sequence. Y: of the same kind, with nO columns. Parameters LSTM: all weights and biases, in the order of
    the ops; HC0: (2, depth, dirs, nH), what h and c start as, which is trained (Thinc leaves it 0); dirs is 2
    with `bi`, else 1, and nH is nO / dirs. dropout: of the weights, not of activations, anew for each batch, as
    in Thinc; the `drop` of `begin_update` leaves it alone. Merity et al. 2018, Regularizing and Optimizing LSTM
    Language Models.
    """

    gates = 4
    weights = "LSTM"
    starts = ("HC0", (2, "depth", "dirs", "nH"))

    def begin_packed(
        self, X: Floats2d, weights: Floats1d, sizes: Ints1d, count: int, training: bool
    ) -> tuple[Floats2d, Backprop]:
        ops, HC0 = self.ops, self.get_param("HC0")
        network = (weights, HC0[0], HC0[1], X, sizes, count)
        if training:
            Y, state = ops.lstm_forward_training(*network)
        else:
            Y, state = ops.lstm_forward_inference(*network), ()

        def backprop(dY: Floats2d, sgd: Any = None) -> tuple[Floats2d, Floats1d]:
            kept = state or ops.lstm_forward_training(*network)[1]
            dX, d_weights, dH0, dC0 = ops.backprop_lstm(dY, sizes, weights, kept, count)
            self.inc_grad("HC0", ops.xp.stack((dH0, dC0)))
            return dX, d_weights

        return Y, backprop
