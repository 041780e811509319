"""A table of vectors."""

from __future__ import annotations

from typing import Any

from triops.errors import ShapeError
from triops.models.initializers import Initializer, uniform_init
from triops.models.layers.dropout import Dropout
from triops.models.model import Model
from triops.types import Backprop, Floats2d

__all__ = ["Embed"]


class Embed(Model):
    """Y[i] = E[ids[i]], then dropout.

    X: (N,) integer ids below nV, or (N, columns) where `column` says which. Y: (N, nO) floats. Parameter E:
    (nV, nO). The ids have no gradient: `backprop` returns None. dropout: the layer's own rate; the `drop` of
    `begin_update` leaves it alone.
    """

    full_precision = True

    def __init__(
        self,
        nO: int | None = None,
        nV: int | None = None,
        *,
        column: int | None = None,
        initializer: Initializer = uniform_init,
        dropout: float | None = None,
    ) -> None:
        super().__init__(dims={"nO": nO, "nV": nV}, layers=[Dropout(dropout or 0.0)], attrs={"column": column})
        self.add_param("E", ("nV", "nO"), initializer)

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        super().initialize_layers(None, None, seed)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        column = self.attrs["column"]
        self.check_ints(X, ndim=1 if column is None else 2)
        if column is not None and not -X.shape[1] <= column < X.shape[1]:
            raise ShapeError(f"X must have a column {column}, got shape {tuple(X.shape)}")
        ids = X if column is None else X[:, column]
        E = self.get_param("E")
        Y, backprop_dropout = self.layers[0].begin_update(self.ops.gather(E, ids), drop)

        def backprop(dY: Floats2d, sgd: Any = None) -> None:
            dY = backprop_dropout(dY)
            self.inc_grad("E", self.ops.backprop_gather_add(dY, ids.reshape((-1, 1)), E.shape[0]))

        return Y, backprop
