"""The state_dict of a torch module, its parameters and buffers, as safetensors: names, shapes, dtypes and
numbers, and no code."""

from __future__ import annotations

from typing import Any

import safetensors.torch
import torch
from torch.nn.parameter import is_lazy

from triops.errors import LoadError, SaveError, UninitializedError
from triops.models.wrappers.torch_bridge import TorchBridge
from triops.models.wrappers.torch_parameters import plain_name

__all__ = ["state_from_bytes", "state_to_bytes"]


def state_to_bytes(module: Any) -> bytes:
    """Every tensor once, under the first of its names. Raises SaveError where something is no dense tensor, and
    UninitializedError where a lazy module has not made its parameters."""
    tensors = {}
    for (name, *_), tensor in _distinct_tensors(module):
        if is_lazy(tensor):
            raise UninitializedError(
                f"parameter {name} has no value yet: call model.initialize(X) with a sample batch before saving"
            )
        tensors[plain_name(name)] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    data: bytes = safetensors.torch.save(tensors)
    return data


def state_from_bytes(module: Any, data: Any) -> dict[str, Any]:
    """What `module.load_state_dict` takes, checked against the module, which is not changed. Raises LoadError
    where the bytes are damaged, or a name, shape or dtype is not the module's."""
    if not isinstance(data, bytes):
        raise LoadError(f"the saved module must be bytes of safetensors, got {type(data).__name__}")
    try:
        tensors = safetensors.torch.load(data)
    except Exception as error:  # what it raises for damaged bytes has no base but this
        raise LoadError(f"the saved module does not read as safetensors ({error}): get a whole copy") from error
    expected = _distinct_tensors(module)
    names = {plain_name(names[0]) for names, _ in expected}
    if names != set(tensors):
        raise LoadError(
            f"the saved module lacks {sorted(names - set(tensors))} and has {sorted(set(tensors) - names)} more: "
            f"make the same module before loading"
        )
    for (first, *_), tensor in expected:
        name = plain_name(first)
        saved = tensors[name]
        fits = is_lazy(tensor) or saved.shape == tensor.shape
        if not fits or saved.dtype != tensor.dtype:
            shape = "any shape" if is_lazy(tensor) else f"shape {tuple(tensor.shape)}"
            raise LoadError(
                f"{name}: expected {shape} of {TorchBridge.dtype_name(tensor.dtype)}, the saved one has shape "
                f"{tuple(saved.shape)} of {TorchBridge.dtype_name(saved.dtype)}: make the same module before "
                f"loading"
            )
    return {name: tensors[plain_name(names[0])] for names, _ in expected for name in names}


def _distinct_tensors(module: Any) -> list[tuple[list[str], Any]]:
    """Each tensor with all its names: tied weights have several."""
    found: dict[Any, tuple[list[str], Any]] = {}
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
            raise SaveError(
                f"{name} of the module's state_dict is no dense tensor, and cannot be saved or loaded"
            )
        alone = is_lazy(tensor) or tensor.numel() == 0
        key = name if alone else (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        found.setdefault(key, ([], tensor))[0].append(name)
    return list(found.values())
