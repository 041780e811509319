"""Batches of triops as Thinc's, and back: arrays, lists, Ragged and Padded. Thinc computes on the CPU, in NumPy;
arrays that lie elsewhere are copied there and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from thinc import types

from triops.errors import ArgumentError
from triops.models.trees import leaves
from triops.ops import Ops
from triops.ops.base import is_float
from triops.ragged import Padded, Ragged

__all__ = ["from_thinc", "has_floats", "to_thinc_data"]


def to_thinc_data(ops: Ops, tree: Any, like: Any = None) -> Any:
    """The batch with arrays of NumPy. Floats are copies, since Thinc's layers may write to what they get. like:
    what a gradient belongs to, from Thinc; where the gradient is None it is zero."""
    if isinstance(tree, list | tuple):
        likes = like if isinstance(like, list | tuple) else [None] * len(tree)
        return type(tree)(to_thinc_data(ops, item, other) for item, other in zip(tree, likes, strict=True))
    if isinstance(tree, Ragged):
        return types.Ragged(_host(ops, tree.data), _places(ops, tree.lengths))
    if isinstance(tree, Padded):
        places = (_places(ops, array) for array in (tree.size_at_t, tree.lengths, tree.indices))
        return types.Padded(_host(ops, tree.data), *places)
    if tree is None and isinstance(like, np.ndarray):
        return np.zeros_like(like)
    return _host(ops, tree) if ops.backend.is_array(tree) else tree


def from_thinc(ops: Ops, tree: Any) -> Any:
    """The batch with arrays of `ops`. What is no batch of arrays stays as it is."""
    if isinstance(tree, list | tuple):
        return type(tree)(from_thinc(ops, item) for item in tree)
    if isinstance(tree, types.Ragged):
        return Ragged(_array(ops, tree.dataXd), _array(ops, tree.lengths))
    if isinstance(tree, types.Padded):
        return Padded(*(_array(ops, each) for each in (tree.data, tree.size_at_t, tree.lengths, tree.indices)))
    return _array(ops, tree) if isinstance(tree, np.ndarray | np.generic) else tree


def has_floats(tree: Any) -> bool:
    """Whether a batch of triops has an array that a gradient belongs to."""
    return any(hasattr(leaf, "dtype") and is_float(leaf.dtype) for leaf in leaves(tree))


def _array(ops: Ops, array: Any) -> Any:
    return ops.asarray(array, array.dtype)


def _host(ops: Ops, array: Any) -> Any:
    if ops.backend.is_traced(array):
        raise ArgumentError(
            "Thinc needs the values of its input, and they are not known while a model is being compiled: leave "
            "the wrapper out of what is compiled"
        )
    host = ops.to_numpy(array)
    if is_float(host.dtype) or not host.flags.carray:
        return np.array(host, order="C")
    return host


def _places(ops: Ops, integers: Any) -> Any:
    """Thinc's code in C reads 32 bits."""
    return np.array(ops.to_numpy(integers), dtype=np.int32)
