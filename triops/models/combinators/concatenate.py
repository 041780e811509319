"""Outputs side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from triops.errors import ShapeError
from triops.models.combinators.parallel import Parallel
from triops.models.trees import add_gradients, leaves, map_arrays
from triops.types import Backprop

__all__ = ["concatenate"]


class concatenate(Parallel):
    """Y = [f₁(X), f₂(X), …] along the last dimension. `f | g` is `concatenate(f, g)`.

    X: whatever the layers take. The layers' outputs: (N, nOᵢ). Y: (N, Σ nOᵢ). Lists are joined
    array by array, Ragged and Padded of the same lengths by their data. The gradients of X add up.
    """

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        if not self.layers:
            return X, lambda dY, sgd=None: dY
        outputs, callbacks = zip(*(layer.begin_update(X, drop) for layer in self.layers), strict=True)
        widths = [_width(output) for output in outputs]

        def backprop(dY: Any, sgd: Any = None) -> Any:
            dX, start = None, 0
            for callback, width in zip(callbacks, widths, strict=True):
                dX = add_gradients(self.ops, dX, callback(map_arrays(_columns(start, start + width), dY)))
                start += width
            return dX

        return map_arrays(self._side_by_side, *outputs), backprop

    def sample_for_layers(self, Y: Any) -> Any:
        # How a total width is shared out cannot be told, unless there is one layer to take it.
        return Y if len(self.layers) == 1 else None

    def combined_width(self, widths: list[int]) -> int:
        return sum(widths)

    def _side_by_side(self, *outputs: Any) -> Any:
        if len({output.shape[:-1] for output in outputs}) > 1:
            raise ShapeError(
                f"concatenate: the layers' outputs must agree in all but their width, got "
                f"{[tuple(output.shape) for output in outputs]}"
            )
        return self.ops.xp.concatenate(outputs, axis=-1)


def _columns(start: int, end: int) -> Callable[[Any], Any]:
    return lambda dy: dy[..., start:end]


def _width(output: Any) -> int:
    widths = {array.shape[-1] for array in leaves(output)}
    if len(widths) > 1:
        raise ShapeError(f"a layer's arrays must be of one width, got {sorted(widths)}")
    return widths.pop() if widths else 0
