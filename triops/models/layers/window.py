"""Each row with its neighbours."""

from __future__ import annotations

from operator import index
from typing import Any

from triops.errors import ArgumentError
from triops.models.adapters.conversions import ARRAY, RAGGED, convert, kind_of, rows_as_sequences
from triops.models.model import Model
from triops.ops.bounds import bounds
from triops.ragged import Ragged
from triops.types import Backprop

__all__ = ["expand_window"]


class expand_window(Model):
    """Y[t] = X[t-n], ..., X[t], ..., X[t+n] side by side, n being `window_size`; 0 for rows that are not of t's
    sequence. Collobert et al. 2011, Natural Language Processing (Almost) from Scratch.

    X: (T, W), which is one sequence, or a list of them, Ragged or Padded. Y: as X, with (2 n + 1) W columns.
    """

    def __init__(self, window_size: int = 1) -> None:
        if isinstance(window_size, bool) or not hasattr(window_size, "__index__") or index(window_size) < 0:
            raise ArgumentError(f"expand_window: window_size must be an integer from 0, got {window_size!r}")
        super().__init__(attrs={"window_size": index(window_size)})

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        ops, nW, came = self.ops, self.attrs["window_size"], kind_of(self.ops, X)
        if came == ARRAY:
            self.check_floats(X)
            # One sequence, unless it was filled up while compiling.
            parts = rows_as_sequences(ops, X) if bounds() is not None else None
            return ops.seq2col(X, nW, parts), lambda dY, sgd=None: ops.backprop_seq2col(dY, nW, parts)
        if came != RAGGED and not len(X):
            return X, lambda dY, sgd=None: dY
        ragged = convert(ops, X, RAGGED)
        lengths = ragged.lengths
        self.check_floats(ragged.data)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            d_data = ops.backprop_seq2col(convert(ops, dY, RAGGED).data, nW, lengths)
            return convert(ops, Ragged(d_data, lengths), came, like=X)

        Y = Ragged(ops.seq2col(ragged.data, nW, lengths), lengths)
        return convert(ops, Y, came, like=X), backprop
