"""The checks of a layer's input."""

from __future__ import annotations

from typing import Any

from triops.errors import DTypeError, ShapeError
from triops.models.dims import Dims
from triops.models.params import Params
from triops.models.trees import sample_array
from triops.models.view import seen
from triops.ops.base import is_float
from triops.ragged import Padded, Ragged

__all__ = ["InputChecks"]


class InputChecks(Dims, Params):
    """The part of `Model` that names what is wrong with an input."""

    def check_floats(self, X: Any, *, ndim: int | None = 2, width: str | None = None) -> None:
        """Raise, naming this layer's dimension, where X is not a floating array of `ndim` dimensions (None
        for any), with the dtype of this layer's parameters, whose last one has the size of the dimension
        `width`."""
        self._check_array(X, is_float(X.dtype) if hasattr(X, "dtype") else False, "a floating", ndim)
        for name, value in seen(self)._params.items():
            if value is not None and value.dtype != X.dtype and is_float(value.dtype):
                raise DTypeError(
                    f"X is {X.dtype} and parameter {name} is {value.dtype}: convert X with ops.asarray(X, "
                    f"dtype='{value.dtype}'), or the model with model.astype('{X.dtype}')"
                )
        if width is not None and X.shape[-1] != self.get_dim(width):
            raise ShapeError(
                f"dimension {width}: expected {self.get_dim(width)}, got {X.shape[-1]} (X has shape "
                f"{tuple(X.shape)}): give it data of width {self.get_dim(width)}, or make the layer with "
                f"{width}={X.shape[-1]}"
            )

    def check_ints(self, X: Any, *, ndim: int | None = 1) -> None:
        """Raise where X is not an integer array of `ndim` dimensions (None for any)."""
        integral = hasattr(X, "dtype") and X.dtype.kind in "iu"
        self._check_array(X, integral, "an integer", ndim)

    def _check_array(self, X: Any, right_kind: bool, kind: str, ndim: int | None) -> None:
        if right_kind and (ndim is None or X.ndim == ndim) and self.ops.backend.is_array(X):
            return
        rank = "" if ndim is None else f" with {ndim} dimension{'s' * (ndim != 1)}"
        if not self.ops.backend.is_array(X):
            sequences = isinstance(X, Ragged | Padded) or self.ops.backend.is_array(sample_array(X))
            advice = "wrap the layer in with_array(...)" if sequences else "convert it with ops.asarray(X)"
            raise DTypeError(f"X must be {kind} array{rank}, got {type(X).__name__}: {advice}")
        if not right_kind:
            raise DTypeError(f"X must be {kind} array, got {X.dtype}: convert it with ops.asarray(X, dtype=...)")
        raise ShapeError(f"X must be an array{rank}, got shape {tuple(X.shape)}: reshape it")
