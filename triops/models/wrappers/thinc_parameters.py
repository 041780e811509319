"""The parameters and gradients of a Thinc model as the mappings that a triops model keeps its own in."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from triops.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from triops.models.wrappers.thinc import ThincWrapper

__all__ = ["Gradients", "Weights"]


class _Parameters(MutableMapping[str, Any]):
    """By name: the layer's number in the order of Thinc's `walk()`, its name, and the parameter's."""

    def __init__(self, model: ThincWrapper) -> None:
        self._model = model

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _each(self) -> Iterator[tuple[str, Any, str]]:
        for i, node in enumerate(self._model.thinc.walk()):
            for param in node.param_names:
                yield f"{i}:{node.name}.{param}", node, param

    def _find(self, name: object) -> tuple[Any, str] | None:
        return next(((node, param) for known, node, param in self._each() if known == name), None)

    def _array(self, value: Any) -> Any:
        # A copy: Thinc's optimizers change weights where they are, and the caller may change the array.
        return self._model.ops.asarray(np.array(value), value.dtype)

    def _fitting(self, what: str, name: str, value: Any) -> tuple[Any, str, Any]:
        found = self._find(name)
        if found is None:
            raise ArgumentError(
                f"{what} cannot be set: the Thinc model has {[known for known, *_ in self._each()]}"
            )
        self._model.ops.check_owner(self._model.name, what, value)
        host = np.array(self._model.ops.to_numpy(value))
        node, param = found
        present = node.maybe_get_param(param)
        if present is not None and host.shape != present.shape:
            raise ShapeError(f"{what}: expected shape {present.shape}, got {host.shape}: reshape it")
        if host.dtype.kind != "f":
            raise DTypeError(f"{what}: expected floats, got {host.dtype}: convert it with ops.asarray(...)")
        return node, param, host


class Weights(_Parameters):
    """The values: a copy out, a copy in. None where Thinc has yet to make one."""

    def __iter__(self) -> Iterator[str]:
        return (name for name, *_ in self._each())

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def __getitem__(self, name: str) -> Any:
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        node, param = found
        value = node.maybe_get_param(param)
        return None if value is None else self._array(value)

    def __setitem__(self, name: str, value: Any) -> None:
        node, param, host = self._fitting(f"parameter {name}", name, value)
        node.set_param(param, host)

    def __delitem__(self, name: str) -> None:
        raise ArgumentError(f"parameter {name} belongs to the Thinc model, and cannot be taken out")


class Gradients(_Parameters):
    """What Thinc's layers have added up."""

    def __iter__(self) -> Iterator[str]:
        return (name for name, node, param in self._each() if node.has_grad(param))

    def __contains__(self, name: object) -> bool:
        found = self._find(name)
        return found is not None and found[0].has_grad(found[1])

    def __getitem__(self, name: str) -> Any:
        found = self._find(name)
        if found is None or not found[0].has_grad(found[1]):
            raise KeyError(name)
        node, param = found
        # Some of Thinc's layers have float32 gradients of float64 weights.
        return self._array(node.get_grad(param).astype(node.get_param(param).dtype, copy=False))

    def __setitem__(self, name: str, value: Any) -> None:
        node, param, host = self._fitting(f"gradient of {name}", name, value)
        node.set_grad(param, host)

    def __delitem__(self, name: str) -> None:
        found = self._find(name)
        if found is None or not found[0].has_grad(found[1]):
            raise KeyError(name)
        _forget(*found)

    def clear(self) -> None:
        for name in list(self):
            del self[name]


def _forget(node: Any, param: str) -> None:
    # Thinc's own way is to leave zeros, which count as a gradient in the next update.
    node._params._grads.pop((node.id, param), None)
