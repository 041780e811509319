"""Arrays, and lists and tuples of arrays, treated alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["add_gradients", "map_arrays"]


def map_arrays(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """`function` of each array; the others are lists of the same lengths."""
    if isinstance(first, list | tuple):
        return type(first)(map_arrays(function, *items) for items in zip(first, *others, strict=True))
    return function(first, *others)


def add_gradients(dX: Any, other: Any) -> Any:
    """dX + other, where None is the gradient of what has none, such as integer ids."""
    if dX is None or other is None:
        return other if dX is None else dX
    return map_arrays(lambda a, b: a + b, dX, other)
