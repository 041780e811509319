"""The parameters and gradients of a torch module as the mappings that a model keeps its own in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy

from triops.models.wrappers.parameters import Elsewhere
from triops.models.wrappers.torch_passes import dense

if TYPE_CHECKING:
    from triops.models.wrappers.pytorch import PyTorchWrapper

__all__ = ["Gradients", "Weights", "find_parameter", "named_parameters", "plain_name"]


def plain_name(name: str) -> str:
    """A name without what torch.compile puts into it, so that compiled or not it is the same."""
    return name.replace("_orig_mod.", "")


def named_parameters(module: Any) -> Iterator[tuple[str, Any]]:
    """The parameters, each once, by their plain names."""
    return ((plain_name(name), parameter) for name, parameter in module.named_parameters())


def find_parameter(module: Any, name: Any) -> Any:
    """A parameter by any of its names, or None."""
    try:
        return module.get_parameter(name)
    except AttributeError:
        return None
    except RuntimeError:  # a scripted module finds none by name
        return dict(module.named_parameters(remove_duplicate=False)).get(name)


class _Parameters(Elsewhere):
    _model: PyTorchWrapper

    def _find(self, name: Any) -> Any:
        return find_parameter(self._model.module, name)

    def _fitting(self, what: str, name: str, value: Any) -> tuple[Any, Any]:
        """The parameter, and the value for it as a tensor."""
        parameter = self._find(name)
        if parameter is None or is_lazy(parameter):
            known = [known for known, p in named_parameters(self._model.module) if not is_lazy(p)]
            raise self.unknown(what, known)
        dtype = self._model._bridge.dtype_name(parameter.dtype)
        return parameter, self.check_fits(what, value, parameter.shape, dtype)


class Weights(_Parameters):
    """The values: a copy out, a copy in. The trained ones are listed, all are found; None where a lazy module
    has yet to make it."""

    def __iter__(self) -> Iterator[str]:
        return (name for name, parameter in named_parameters(self._model.module) if parameter.requires_grad)

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def __getitem__(self, name: str) -> Any:
        parameter = self._find(name)
        if parameter is None:
            raise KeyError(name)
        return None if is_lazy(parameter) else self._model._bridge.copy_of(parameter)

    def __setitem__(self, name: str, value: Any) -> None:
        parameter, tensor = self._fitting(f"parameter {name}", name, value)
        with torch.no_grad():
            parameter.copy_(tensor)


class Gradients(_Parameters):
    """What is in `.grad`, where torch's optimizers look for it."""

    def __iter__(self) -> Iterator[str]:
        return (name for name, parameter in named_parameters(self._model.module) if parameter.grad is not None)

    def __contains__(self, name: object) -> bool:
        parameter = self._find(name)
        return parameter is not None and parameter.grad is not None

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return self._model._bridge.copy_of(dense(self._find(name).grad))

    def __setitem__(self, name: str, value: Any) -> None:
        parameter, tensor = self._fitting(f"gradient of {name}", name, value)
        parameter.grad = tensor.clone()

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._find(name).grad = None

    def clear(self) -> None:
        self._model.module.zero_grad()
