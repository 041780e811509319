"""What layers share that mix the rows of a sequence."""

from __future__ import annotations

from typing import Any

from triops.models.adapters.conversions import ARRAY, LIST, RAGGED, convert, kind_of
from triops.models.model import Model
from triops.ragged import Ragged
from triops.types import Backprop, Floats2d, Ints1d

__all__ = ["OverSequences"]


class OverSequences(Model):
    """Takes a list of arrays (Tₙ, nI), Ragged, Padded, or an array, which is one sequence, and returns what it
    got. A subclass says what becomes of the rows, one after another."""

    def begin_rows(self, X: Floats2d, lengths: Ints1d, drop: float | None) -> tuple[Floats2d, Backprop]:
        """Y, a row for each row of X, and the callback dY -> dX."""
        raise NotImplementedError

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        ops, came = self.ops, kind_of(self.ops, X)
        if came == ARRAY:
            self.check_floats(X)
        if came == LIST and not len(X):  # an empty list has no width that could be checked
            return X, lambda dY, sgd=None: dY
        ragged = convert(ops, X, RAGGED)
        self.check_floats(ragged.data, width="nI" if "nI" in self.dim_names else None)
        Y, backprop_rows = self.begin_rows(ragged.data, ragged.lengths, drop)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            dX = backprop_rows(convert(ops, dY, RAGGED).data)
            return convert(ops, Ragged(dX, ragged.lengths), came, like=X)

        return convert(ops, Ragged(Y, ragged.lengths), came, like=X), backprop
