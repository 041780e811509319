"""Arrays alone, in lists and tuples, and as the data of Ragged and Padded, treated alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from triops.errors import ShapeError
from triops.ops import Ops, ops_of
from triops.ops.base import is_float
from triops.ragged import Joined, Padded, Ragged

__all__ = [
    "TREES", "add_arrays", "add_gradients", "described", "leaves", "map_arrays", "places_differ", "places_of",
    "sample_array",
]  # fmt: skip

# What arrays are in; anything else is an array, or nothing that has any.
TREES = (list, tuple, Ragged, Padded, Joined)


def map_arrays(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """`function` of each array, in a tree like the first. Raises ShapeError where the others are not like it:
    lists of as many, or Ragged and Padded of the same lengths."""
    if not isinstance(first, TREES):
        for other in others:
            if isinstance(other, TREES):
                raise _unlike(described(first), described(other))
        return function(first, *others)
    if isinstance(first, Joined):
        return Joined(map_arrays(function, first.data, *(other.data for other in others)), first.lengths)
    if isinstance(first, list | tuple):
        for other in others:
            if not isinstance(other, list | tuple) or len(other) != len(first):
                raise _unlike(described(first), described(other))
        return type(first)(map_arrays(function, *items) for items in zip(first, *others, strict=True))
    for other in others:
        if type(other) is not type(first):
            raise _unlike(described(first), described(other))
        if (places := places_differ(places_of(first), places_of(other))) is not None:
            raise _unlike(*(f"{described(first)} of {text}" for text in places))
    return replace(first, data=map_arrays(function, first.data, *(other.data for other in others)))


def add_arrays(ops: Ops, x: Any, y: Any) -> Any:
    """x + y, of one shape. In half precision they may be of two dtypes."""
    return ops.add(x, y) if x.dtype == y.dtype and is_float(x.dtype) else x + y


def add_gradients(ops: Ops, dX: Any, other: Any) -> Any:
    """dX + other, where None is the gradient of what has none, such as integer ids."""
    if dX is None or other is None:
        return other if dX is None else dX
    if (
        isinstance(dX, list | tuple)
        and not isinstance(dX, Joined)
        and isinstance(other, list | tuple)
        and len(dX) == len(other)
    ):
        return type(dX)(add_gradients(ops, a, b) for a, b in zip(dX, other, strict=True))
    return map_arrays(partial(add_arrays, ops), dX, other)


def leaves(tree: Any) -> list[Any]:
    """The arrays of a tree, in order; what is no list, Ragged or Padded is one."""
    if isinstance(tree, Joined):
        return leaves(tree.data)
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in leaves(item)]
    return leaves(tree.data) if isinstance(tree, Ragged | Padded) else [tree]


def sample_array(tree: Any) -> Any:
    """The first array of a tree, which has a width if it has two dimensions; None of anything else."""
    if isinstance(tree, list | tuple):
        return sample_array(tree[0]) if tree else None
    if isinstance(tree, Ragged | Padded):
        return sample_array(tree.data)
    return tree if hasattr(tree, "shape") else None


def described(tree: Any) -> str:
    """The kind of data, for an error: `list of 3`, `Ragged`, `ndarray`, `the class Adam`."""
    if isinstance(tree, type):
        return f"the class {tree.__name__}"
    kind = type(tree).__name__
    return f"{kind} of {len(tree)}" if isinstance(tree, list | tuple) else kind


def places_of(sequences: Ragged | Padded | Joined) -> dict[str, Any]:
    """The integers that say where each sequence lies."""
    if isinstance(sequences, Padded):
        return {"lengths": sequences.lengths, "indices": sequences.indices}
    return {"lengths": sequences.lengths}


def places_differ(wanted: dict[str, Any], got: dict[str, Any]) -> tuple[str, str] | None:
    """What was wanted and what came, where they differ: values only where no device has to wait."""
    for name, one in wanted.items():
        other = got[name]
        if one is other:  # the usual case: layers pass the lengths on
            continue
        if tuple(one.shape) != tuple(other.shape):
            return f"{one.shape[0]} sequences", str(other.shape[0])
        ops, theirs = ops_of(one), ops_of(other)
        if not (ops.can_look(one) and theirs.can_look(other)):
            continue
        ours, others = ops.to_numpy(one), theirs.to_numpy(other)
        if (ours != others).any():
            return f"{name} {ours.tolist()[:10]}", str(others.tolist()[:10])
    return None


def _unlike(one: str, other: str) -> ShapeError:
    return ShapeError(
        f"data that come together must be of one kind and the same lengths, got {one} and {other}: convert one "
        f"of them, as with list2ragged() or ragged2list()"
    )
