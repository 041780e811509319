"""Layers that change the kind of sequences, and nothing in them."""

from __future__ import annotations

from typing import Any, ClassVar

from triops.errors import DTypeError
from triops.models.adapters.conversions import ARRAY, LIST, PADDED, RAGGED, convert, kind_of, lengths_of
from triops.models.model import Model
from triops.types import Backprop

__all__ = ["list2array", "list2padded", "list2ragged", "padded2list", "ragged2list"]


class _Between(Model):
    """Y = X as another kind of sequences. The gradient goes the way back."""

    takes: ClassVar[str]
    gives: ClassVar[str]

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        if kind_of(self.ops, X) != self.takes:
            raise DTypeError(
                f"X must be {self.takes}, got {type(X).__name__}: {self.name} turns it into {self.gives}"
            )

        def backprop(dY: Any, sgd: Any = None) -> Any:
            if dY is None:
                return None
            if self.gives == ARRAY:
                return self.ops.unflatten(dY, lengths_of(self.ops, X))
            return convert(self.ops, dY, self.takes, like=X)

        Y = self.ops.flatten(X) if self.gives == ARRAY else convert(self.ops, X, self.gives)
        return Y, backprop


class list2array(_Between):
    """Y = the rows of all arrays one after another. X: N arrays (Tₙ, ...). Y: (Σ Tₙ, ...)."""

    takes, gives = LIST, ARRAY


class list2ragged(_Between):
    """Y = the arrays as Ragged. X: N arrays (Tₙ, ...). Y: Ragged of the N lengths Tₙ."""

    takes, gives = LIST, RAGGED


class ragged2list(_Between):
    """Y = the sequences as arrays. X: Ragged of N lengths Tₙ. Y: N arrays (Tₙ, ...)."""

    takes, gives = RAGGED, LIST


class list2padded(_Between):
    """Y = the arrays side by side by step, the longest first. X: N arrays (Tₙ, ...). Y: Padded, with data
    (L, N, ...)."""

    takes, gives = LIST, PADDED


class padded2list(_Between):
    """Y = the sequences as arrays, in the order they had before the padding. X: Padded. Y: N arrays (Tₙ, ...)."""

    takes, gives = PADDED, LIST
