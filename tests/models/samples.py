"""Small data and models that the tests share. Few shapes, since JAX compiles each op once a shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from triops import Model, Ops, Padded, Ragged, get_ops, to_numpy
from triops.errors import BackendUnavailable
from triops.models import Dropout, Relu, Softmax, chain

__all__ = [
    "LENGTHS",
    "NI",
    "NO",
    "N",
    "classifier",
    "floats",
    "formed",
    "ids",
    "named_params",
    "ops_or_skip",
    "other_ops",
    "params_of",
    "read_only",
    "rows_of",
    "shaken",
]

N, NI, NO = 6, 5, 4
LENGTHS = (2, 1, 3)  # of the sequences that N rows are


def ops_or_skip(name: str) -> Ops:
    """A backend's ops on the CPU, or a skip with the backend's own reason."""
    try:
        return get_ops(name, "cpu:0")
    except BackendUnavailable as error:
        pytest.skip(error.message)


def other_ops(ops: Ops) -> Ops:
    """The ops of another backend."""
    return ops_or_skip("jax" if ops.name == "numpy" else "numpy")


def floats(ops: Ops, *shape: int, seed: int = 1, dtype: str = "float32") -> Any:
    """Normal draws."""
    return ops.draw_normal(seed, shape, dtype=dtype)


def formed(ops: Ops, rows: Any, form: str, lengths: tuple[int, ...] = LENGTHS) -> Any:
    """Rows as an "array", or as sequences of those lengths: a "list", "ragged" or "padded"."""
    if form == "array":
        return rows
    arrays = ops.unflatten(rows, lengths)
    if form == "padded":
        return ops.list2padded(arrays)
    return arrays if form == "list" else Ragged(rows, ops.asarray(np.array(lengths, "int32")))


def rows_of(ops: Ops, data: Any) -> Any:
    """The rows of data of any form, one after another, as NumPy."""
    if isinstance(data, Padded):
        data = ops.padded2ragged(data)
    if isinstance(data, Ragged):
        data = data.data
    return to_numpy(ops.flatten(data) if isinstance(data, list) else data)


def ids(ops: Ops, *shape: int, below: int, seed: int = 1) -> Any:
    """Random integers from 0."""
    return ops.asarray(np.random.default_rng(seed).integers(0, below, shape), dtype="int32")


def classifier(nO: int | None = 3, nI: int | None = NI, drop: float | None = None) -> Model:
    """Relu, dropout and a softmax."""
    return chain(Relu(NO, nI), Dropout(drop), Softmax(nO, NO))


def shaken(model: Model, seed: int = 7) -> Model:
    """The model with normal draws for parameters, so that none is zero, or one, or symmetric."""
    for i, (node, name) in enumerate(_places(model)):
        W = node.get_param(name)
        node.set_param(name, node.ops.draw_normal(seed + i, W.shape, scale=0.5, dtype=W.dtype.name))
    return model


def params_of(model: Model) -> list[Any]:
    """Every parameter as NumPy, in the model's order."""
    return [to_numpy(node.get_param(name)) for node, name in _places(model)]


def named_params(model: Model) -> dict[str, Any]:
    """The parameters of one node as float64 NumPy."""
    return {name: to_numpy(model.get_param(name)).astype("float64") for name in model.param_names}


def read_only(array: Any) -> Any:
    """A view that cannot be written to; JAX arrays never can."""
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def _places(model: Model) -> Iterator[tuple[Model, str]]:
    return ((node, name) for node in model.walk() for name in node.param_names)
