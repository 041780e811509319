"""What layers compute in while a model is traced in mixed precision. Elsewhere all of this changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from triops.ops.base import is_float
from triops.ragged import Joined, Padded, Ragged
from triops.scoped import Scoped

if TYPE_CHECKING:
    from triops.models.model import Model

__all__ = ["FULL", "cast", "cast_like", "fitting", "given_by", "in_full", "lowered", "lowered_to", "taken_by"]

FULL = "float32"


_dtype: Scoped[str | None] = Scoped(None)


def lowered_to() -> str | None:
    """The half precision that this thread is tracing a model in; None where it does not."""
    return _dtype.get()


def lowered(dtype: str | None) -> AbstractContextManager[None]:
    """Trace in half precision in a block."""
    return _dtype.during(dtype)


def taken_by(layer: Model, X: Any, dtype: str) -> Any:
    """An input as a layer computes with it. What has no parameters takes what comes."""
    if layer.full_precision:
        return cast(X, FULL)
    return cast(X, dtype) if layer._params else X


def given_by(layer: Model, Y: Any, dtype: str) -> Any:
    """An output as the layers after it take it."""
    return cast(Y, dtype) if layer.full_precision else Y


def in_full(tree: Any) -> Any:
    """The same in float32, for what half precision is too coarse for."""
    return tree if lowered_to() is None else cast(tree, FULL)


def fitting(dY: Any, X: Any) -> Any:
    """A gradient that was computed in float32, in the dtype of the array it is multiplied with."""
    return dY if dY.dtype == X.dtype else dY.astype(X.dtype)


def cast(tree: Any, dtype: str) -> Any:
    """Arrays, in lists, tuples and sequences, with those of floats in that dtype."""
    return _map_floats(lambda array: array if array.dtype == dtype else array.astype(dtype), tree)


def cast_like(dY: Any, Y: Any) -> Any:
    """Gradients in the dtypes of what they are gradients of."""
    if isinstance(dY, Joined | Ragged | Padded) and type(dY) is type(Y):
        return _with_data(dY, cast_like(dY.data, Y.data))
    if isinstance(dY, list | tuple) and isinstance(Y, list | tuple) and len(dY) == len(Y):
        return _like(dY, [cast_like(dy, y) for dy, y in zip(dY, Y, strict=True)])
    both = all(hasattr(array, "dtype") and is_float(array.dtype) for array in (dY, Y))
    return fitting(dY, Y) if both else dY


def _map_floats(function: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, Joined | Ragged | Padded):
        return _with_data(tree, _map_floats(function, tree.data))
    if isinstance(tree, list | tuple):
        return _like(tree, [_map_floats(function, item) for item in tree])
    return function(tree) if hasattr(tree, "dtype") and is_float(tree.dtype) else tree


def _with_data(sequences: Any, data: Any) -> Any:
    if isinstance(sequences, Joined):
        return Joined(data, sequences.lengths)
    return replace(sequences, data=data)


def _like(kind: Any, items: list[Any]) -> Any:
    return type(kind)(*items) if hasattr(kind, "_fields") else type(kind)(items)
