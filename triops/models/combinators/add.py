"""Outputs added up."""

from __future__ import annotations

from functools import partial
from typing import Any

from triops.errors import ShapeError
from triops.models.combinators.parallel import Parallel
from triops.models.trees import add_arrays, add_gradients, map_arrays
from triops.ops import Ops
from triops.types import Backprop

__all__ = ["add"]


class add(Parallel):
    """Y = f₁(X) + f₂(X) + …. `f + g` is `add(f, g)`.

    X: whatever the layers take. The layers' outputs and Y: one shape, or lists, Ragged or Padded of
    arrays that are. The gradients of X add up.
    """

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        if not self.layers:
            return X, lambda dY, sgd=None: dY
        Y, first = self.layers[0].begin_update(X, drop)
        callbacks = [first]
        for layer in self.layers[1:]:
            other, callback = layer.begin_update(X, drop)
            Y = map_arrays(partial(_plus, self.ops), Y, other)
            callbacks.append(callback)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            dX = None
            for callback in callbacks:
                dX = add_gradients(self.ops, dX, callback(dY))
            return dX

        return Y, backprop

    def sample_for_layers(self, Y: Any) -> Any:
        return Y

    def combined_width(self, widths: list[int]) -> int:
        return widths[0]


def _plus(ops: Ops, y: Any, other: Any) -> Any:
    if y.shape != other.shape:
        raise ShapeError(
            f"the layers' outputs must have one shape, got {tuple(y.shape)} and {tuple(other.shape)}: "
            f"give the layers the same nO"
        )
    return add_arrays(ops, y, other)
