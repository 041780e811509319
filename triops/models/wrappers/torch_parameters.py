"""The parameters and gradients of a torch module as the mappings that a model keeps its own in."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy

from triops.errors import ArgumentError, DTypeError, ShapeError
from triops.models.wrappers.bridge import dtype_name
from triops.models.wrappers.torch_passes import dense

if TYPE_CHECKING:
    from triops.models.wrappers.pytorch import PyTorchWrapper

__all__ = ["Gradients", "Weights", "find_parameter"]


def find_parameter(module: Any, name: Any) -> Any:
    """A parameter by any of its names, or None."""
    try:
        return module.get_parameter(name)
    except AttributeError:
        return None
    except RuntimeError:  # a scripted module finds none by name
        return dict(module.named_parameters(remove_duplicate=False)).get(name)


class _Parameters(MutableMapping[str, Any]):
    def __init__(self, model: PyTorchWrapper) -> None:
        self._model = model

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _find(self, name: Any) -> Any:
        return find_parameter(self._model.module, name)

    def _array(self, tensor: Any) -> Any:
        # A copy: torch changes the tensor in place, and the caller may change the array.
        return self._model._bridge.from_torch(tensor.detach().clone())

    def _fitting(self, what: str, name: str, value: Any) -> tuple[Any, Any]:
        """The parameter, and the value for it as a tensor."""
        parameter = self._find(name)
        if parameter is None or is_lazy(parameter):
            raise ArgumentError(
                f"{what} cannot be set: the module makes its parameters by itself, and those with a value are "
                f"{[known for known, p in self._model.module.named_parameters() if not is_lazy(p)]}"
            )
        self._model.ops.check_owner(self._model.name, what, value)
        tensor = self._model._bridge.to_torch(value)
        if tensor.shape != parameter.shape:
            raise ShapeError(
                f"{what}: expected shape {tuple(parameter.shape)}, got {tuple(tensor.shape)}: reshape it"
            )
        if tensor.dtype != parameter.dtype:
            expected = dtype_name(parameter.dtype)
            raise DTypeError(
                f"{what}: expected {expected}, got {value.dtype}: convert it with "
                f"ops.asarray(..., dtype='{expected}')"
            )
        return parameter, tensor


class Weights(_Parameters):
    """The values: a copy out, a copy in. The trained ones are listed, all are found; None where a lazy module
    has yet to make it."""

    def __iter__(self) -> Iterator[str]:
        return (name for name, parameter in self._model.module.named_parameters() if parameter.requires_grad)

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def __getitem__(self, name: str) -> Any:
        parameter = self._find(name)
        if parameter is None:
            raise KeyError(name)
        return None if is_lazy(parameter) else self._array(parameter)

    def __setitem__(self, name: str, value: Any) -> None:
        parameter, tensor = self._fitting(f"parameter {name}", name, value)
        with torch.no_grad():
            parameter.copy_(tensor)

    def __delitem__(self, name: str) -> None:
        raise ArgumentError(f"parameter {name} belongs to the module, and cannot be taken out")


class Gradients(_Parameters):
    """What is in `.grad`, where torch's optimizers look for it."""

    def __iter__(self) -> Iterator[str]:
        return (name for name, parameter in self._model.module.named_parameters() if parameter.grad is not None)

    def __contains__(self, name: object) -> bool:
        parameter = self._find(name)
        return parameter is not None and parameter.grad is not None

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return self._array(dense(self._find(name).grad))

    def __setitem__(self, name: str, value: Any) -> None:
        parameter, tensor = self._fitting(f"gradient of {name}", name, value)
        parameter.grad = tensor.clone()

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._find(name).grad = None

    def clear(self) -> None:
        self._model.module.zero_grad()
