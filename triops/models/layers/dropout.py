"""Dropout."""

from __future__ import annotations

from typing import Any

from triops.errors import ArgumentError
from triops.models.model import Model
from triops.models.seeds import default_seed, derive_seed
from triops.models.trees import map_arrays
from triops.types import Backprop

__all__ = ["Dropout"]


class Dropout(Model):
    """Y = X mask, where an entry of the mask is 0 with probability `rate`, else 1/(1-rate). Srivastava et al.
    2014, Dropout.

    X: an array of floats, a list of them, Ragged or Padded; Y: as X. `rate` None takes the rate that
    `begin_update` is given as `drop`; a number holds whatever `drop` is, and can be changed in
    `attrs["dropout_rate"]`. Nothing is dropped in `predict`, or while `attrs["is_enabled"]` is False. The masks
    follow from the seed that `initialize` gets and from how many were drawn, alike on every backend.
    """

    def __init__(self, rate: float | None = None) -> None:
        if rate is not None and not 0 <= rate < 1:
            raise ArgumentError(f"Dropout: rate must be from 0 up to, not including, 1, got {rate}")
        super().__init__(attrs={"dropout_rate": rate, "is_enabled": True})

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        self.set_state("seed", derive_seed(seed, "dropout"))
        self.set_state("drawn", 0)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        own = self.attrs["dropout_rate"]
        rate = drop if own is None or drop is None else own
        if rate is None or not self.attrs["is_enabled"] or (not self.ops.backend.is_traced(rate) and rate == 0):
            return X, lambda dY, sgd=None: dY
        masks = map_arrays(lambda x: self._mask(x, rate), X)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            return map_arrays(lambda dy, mask: dy * mask, dY, masks)

        return map_arrays(lambda x, mask: x * mask, X, masks), backprop

    def _mask(self, x: Any, rate: float) -> Any:
        self.check_floats(x, ndim=None)
        seed = self.get_state("seed", derive_seed(default_seed(), "dropout", self.id))
        drawn = self.get_state("drawn", 0)
        self.set_state("drawn", drawn + 1)
        return self.ops.dropout_mask(seed, drawn, x.shape, rate, x.dtype)
