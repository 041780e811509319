"""One row out of each sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from triops.errors import DTypeError
from triops.models.adapters.conversions import ARRAY, RAGGED, convert, kind_of
from triops.models.model import Model
from triops.ragged import Ragged
from triops.types import Backprop, Floats2d

__all__ = ["reduce_first", "reduce_last", "reduce_max", "reduce_mean", "reduce_sum"]


class _Reduce(Model):
    """Y[n] = the op `reduce` of sequence n; what it returns besides says its gradient where to go."""

    reduce: ClassVar[str]
    gradient_takes_lengths: ClassVar[bool] = True

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        came = kind_of(self.ops, X)
        if came == ARRAY:
            raise DTypeError(
                "X must be Ragged or a list of arrays, got an array: give Ragged(X, lengths), or [X]"
            )
        ragged = convert(self.ops, X, RAGGED)
        self.check_floats(ragged.data)
        result = getattr(self.ops, self.reduce)(ragged.data, ragged.lengths)
        Y, *places = result if isinstance(result, tuple) else (result,)
        if self.gradient_takes_lengths:
            places.append(ragged.lengths)
        rows, lengths = ragged.data.shape[0], ragged.lengths
        gradient: Callable[..., Any] = getattr(self.ops, f"backprop_{self.reduce}")

        def backprop(dY: Floats2d, sgd: Any = None) -> Any:
            return convert(self.ops, Ragged(gradient(dY, *places, rows=rows), lengths), came, like=X)

        return Y, backprop


class reduce_sum(_Reduce):
    """Y[n] = the sum of the rows of sequence n, 0 for an empty one. X: Ragged of (T, W), Padded, or a list of
    (Tₙ, W). Y: (N, W)."""

    reduce = "reduce_sum"


class reduce_mean(_Reduce):
    """Y[n] = the mean of the rows of sequence n, 0 for an empty one. X: Ragged of (T, W), Padded, or a list of
    (Tₙ, W). Y: (N, W)."""

    reduce = "reduce_mean"


class reduce_max(_Reduce):
    """Y[n, j] = the largest of column j in sequence n, which must have rows. X: Ragged of (T, W), Padded, or a
    list of (Tₙ, W). Y: (N, W). The gradient goes to the first of equals."""

    reduce = "reduce_max"


class reduce_first(_Reduce):
    """Y[n] = the first row of sequence n, which must have rows. X: Ragged of (T, W), Padded, or a list of
    (Tₙ, W). Y: (N, W)."""

    reduce = "reduce_first"
    gradient_takes_lengths = False


class reduce_last(_Reduce):
    """Y[n] = the last row of sequence n, which must have rows. X: Ragged of (T, W), Padded, or a list of
    (Tₙ, W). Y: (N, W)."""

    reduce = "reduce_last"
    gradient_takes_lengths = False
