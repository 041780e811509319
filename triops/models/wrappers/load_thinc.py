"""Weights that Thinc trained, in triops' layers of the same structure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, TypeVar

import numpy as np

from triops.errors import BackendUnavailable, LoadError
from triops.models import layers, saving
from triops.models.guard import path_of
from triops.models.model import Model

try:
    import thinc.api
    from srsly import msgpack_loads  # Thinc brings it
except ImportError as error:
    raise BackendUnavailable(
        f"load_thinc needs the package thinc ({error}): pip install 'triops[thinc]'"
    ) from error

__all__ = ["load_thinc"]

M = TypeVar("M", bound=Model)

_ATTRS = ("seed", "softmax_normalize", "softmax_temperature")
_KINDS = {name.lower() for name in layers.__all__}
# What Thinc makes of a line between two bounds has one name.
_LINES = ("hardsigmoid", "hardtanh", "reluk")


@dataclass
class _Layer:
    """A layer of Thinc's, and those inside it."""

    name: str
    attrs: Mapping[str, Any]
    params: Mapping[str, Any]
    layers: list[_Layer] = field(default_factory=list)

    def trained(self) -> Iterator[_Layer]:
        """Those with parameters, depth first."""
        if self.params:
            yield self
        for layer in self.layers:
            yield from layer.trained()


def load_thinc(model: M, source: Any) -> M:
    """Give a triops model the weights of a Thinc model of the same structure; returns it.

    model: layers with parameters of the same kinds and sizes, in the same order. It takes dimensions that it does
    not know yet from the weights, and with them the seeds of hash embeddings and the settings of softmax. source:
    a Thinc model, the bytes that its `to_bytes` gave, or the path of the file that its `to_disk` wrote. Raises
    LoadError, and leaves the model as it was, where the layers do not fit; so do those that keep their weights in
    another order than Thinc, LSTM and SparseLinear.
    """
    theirs = list(_read(source).trained())
    ours = [node for node in model.walk(order="dfs_pre") if node.param_names]
    if len(theirs) != len(ours) or any(map(_differ, ours, theirs)):
        raise LoadError(
            f"the Thinc model's layers with parameters are {[layer.name for layer in theirs]}, those of "
            f"{model.name} are {[node.name for node in ours]}: make the same layers in the same order"
        )
    changes = []
    for node, layer in zip(ours, theirs, strict=True):
        try:
            changes.append(_prepared(node, layer))
        except LoadError as error:
            raise LoadError(f"{path_of(model, node)}: {error.message}") from error
    for change in changes:
        change()
    return model


def _prepared(node: Model, layer: _Layer) -> Callable[[], None]:
    encoded = {name: None if value is None else _encoded(value) for name, value in layer.params.items()}
    take_over = saving.prepare_node_arrays(node, {"dims": {}, "params": encoded})
    dims = {
        dim: extent
        for name, spec in node._specs.items()
        if layer.params[name] is not None
        for dim, extent in zip(spec.dims, layer.params[name].shape, strict=True)
        if isinstance(dim, str)
    }
    attrs = {name: layer.attrs[name] for name in _ATTRS if name in layer.attrs and name in node.attrs}

    def change() -> None:
        take_over()
        node._dims.update(dims)
        node.attrs.update(attrs)

    return change


def _encoded(value: Any) -> dict[str, Any]:
    return {"dtype": value.dtype.name, "shape": list(value.shape), "data": np.ascontiguousarray(value).tobytes()}


def _differ(node: Model, layer: _Layer) -> bool:
    """Whether Thinc's layer is another kind of layer. Its name may be one that the user gave it."""
    ours, theirs = type(node).__name__.lower(), layer.name.replace("_", "").replace("-", "")
    return theirs in _KINDS and theirs != ("clippedlinear" if ours in _LINES else ours)


# -- reading


def _read(source: Any) -> _Layer:
    if isinstance(source, thinc.api.Model):
        return _from_model(source, set())
    data = saving.read_file(source) if isinstance(source, str | PathLike) else source
    if not isinstance(data, bytes | bytearray | memoryview):
        raise LoadError(f"a Thinc model, its bytes, or a path is needed, got {type(source).__name__}")
    try:
        saved = msgpack_loads(bytes(data))
        parts = zip(saved["nodes"], saved["attrs"], saved["params"], strict=True)
        flat = [
            _Layer(node["name"], {name: msgpack_loads(value) for name, value in attrs.items()}, params)
            for node, attrs, params in parts
        ]
        return _as_tree(flat)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise LoadError(f"these bytes are no model that Thinc saved ({type(error).__name__}: {error})") from error


def _from_model(node: Any, seen: set[int]) -> _Layer:
    seen.add(node.id)
    params = {name: node.maybe_get_param(name) for name in node.param_names}
    inside = [_from_model(layer, seen) for layer in node.layers if layer.id not in seen]
    return _Layer(node.name, node.attrs, params, inside)


def _as_tree(flat: list[_Layer]) -> _Layer:
    """The tree of layers that Thinc saved breadth first, without saying which is inside which: the name of a
    combinator is made of the names inside it."""
    root, *rest = flat
    waiting, unplaced = deque([root]), deque(rest)
    while waiting and unplaced:
        parent = waiting.popleft()
        parent.layers = _inside(parent.name, unplaced)
        for _ in parent.layers:
            waiting.append(unplaced.popleft())
    if unplaced:
        raise ValueError(
            f"the names of its layers do not say where {unplaced[0].name} belongs, as where one was "
            f"renamed or is used twice; give the Thinc model itself"
        )
    return root


def _inside(name: str, unplaced: deque[_Layer]) -> list[_Layer]:
    """The layers at the front of those that have no place yet whose names make up the name."""
    for separator in (">>", "|", "+"):
        joined = ""
        found: list[_Layer] = []
        for layer in unplaced:
            joined = layer.name if not found else f"{joined}{separator}{layer.name}"
            found.append(layer)
            if joined == name and len(found) > 1:
                return found
            if not name.startswith(joined):
                break
    wrapped = unplaced[0]
    return [wrapped] if name.endswith(f"({wrapped.name})") else []
