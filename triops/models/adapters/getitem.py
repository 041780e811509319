"""Parts of tuples and of arrays."""

from __future__ import annotations

from math import prod
from operator import index
from typing import Any

from triops.errors import ArgumentError, ShapeError
from triops.models.combinators.combinator import Combinator
from triops.models.model import Model
from triops.models.seeds import derive_seed
from triops.types import ArrayT, Backprop

__all__ = ["array_getitem", "with_getitem"]


class with_getitem(Combinator):
    """Y = X with X[idx] replaced by f(X[idx]). X, Y: tuples or lists of anything."""

    def __init__(self, idx: int, layer: Model) -> None:
        super().__init__([layer])
        self.refuse_logit_gradients(self.layers)
        self.attrs["idx"] = index(idx)

    def infer_dims(self, X: Any, Y: Any) -> None:
        """The layer infers its own."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        x, y = (None if data is None else self._item(data) for data in (X, Y))
        self.layers[0].initialize(x, y, derive_seed(seed, 0))

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        Y, callback = self.layers[0].begin_update(self._item(X), drop)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            return self._with(dY, callback(self._item(dY)))

        return self._with(X, Y), backprop

    def _item(self, items: Any) -> Any:
        idx = self.attrs["idx"]
        if not isinstance(items, list | tuple) or not -len(items) <= idx < len(items):
            size = f" of {len(items)}" if isinstance(items, list | tuple) else ""
            raise ArgumentError(
                f"with_getitem: X must be a tuple with an item {idx}, got {type(items).__name__}{size}"
            )
        return items[idx]

    def _with(self, items: Any, item: Any) -> Any:
        changed = list(items)
        changed[self.attrs["idx"]] = item
        return type(items)(changed)


class array_getitem(Model):
    """Y = X[index]. index: as NumPy's: an integer, a slice, or a tuple of these. X: an array; the gradient is 0
    where Y has nothing from. It is given to the layer anew where a saved model is loaded."""

    def __init__(self, index: Any) -> None:
        super().__init__()
        self.index = index

    def begin_update(self, X: ArrayT, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        self.check_floats(X, ndim=None)
        shape = tuple(X.shape)
        places = self.ops.backend.host.namespace.arange(prod(shape)).reshape(shape)
        try:
            taken = places[self.index].reshape(-1)
        except IndexError as error:
            raise ShapeError(f"X of shape {shape} has no part [{self.index}]: {error}") from error

        def backprop(dY: Any, sgd: Any = None) -> Any:
            zeros = self.ops.alloc((prod(shape),), X.dtype)
            if not taken.size:
                return zeros.reshape(shape)
            rows = self.ops.asarray(taken, dtype="int32")
            return self.ops.scatter_add(zeros, rows, dY.reshape((taken.size,))).reshape(shape)

        return X[self.index], backprop
