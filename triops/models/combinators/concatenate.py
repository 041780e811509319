"""Outputs side by side."""

from __future__ import annotations

from typing import Any

from triops.errors import ShapeError
from triops.models.combinators.parallel import Parallel
from triops.models.trees import add_gradients
from triops.types import Backprop

__all__ = ["concatenate"]


class concatenate(Parallel):
    """Y = [f₁(X), f₂(X), …] along the last dimension. `f | g` is `concatenate(f, g)`.

    X: whatever the layers take. The layers' outputs: (N, nOᵢ). Y: (N, Σ nOᵢ). The gradients of X add up.
    """

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        if not self.layers:
            return X, lambda dY, sgd=None: dY
        outputs, callbacks = zip(*(layer.begin_update(X, drop) for layer in self.layers), strict=True)
        if len({output.shape[:-1] for output in outputs}) > 1:
            raise ShapeError(
                f"concatenate: the layers' outputs must agree in all but their width, got "
                f"{[tuple(output.shape) for output in outputs]}"
            )

        def backprop(dY: Any, sgd: Any = None) -> Any:
            dX, start = None, 0
            for callback, output in zip(callbacks, outputs, strict=True):
                end = start + output.shape[-1]
                dX = add_gradients(dX, callback(dY[..., start:end]))
                start = end
            return dX

        return self.ops.xp.concatenate(outputs, axis=-1), backprop

    def sample_for_layers(self, Y: Any) -> Any:
        # How a total width is shared out cannot be told, unless there is one layer to take it.
        return Y if len(self.layers) == 1 else None

    def combined_width(self, widths: list[int]) -> int:
        return sum(widths)
