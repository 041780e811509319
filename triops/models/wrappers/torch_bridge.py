"""Arrays of triops' backends as torch tensors, and back."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from triops.backends.backend import Device
from triops.errors import ArgumentError
from triops.models.wrappers.bridge import Bridge
from triops.ops import Ops

__all__ = ["BRIDGES", "torch_device"]


class TorchBridge(Bridge):
    """What is the same for all arrays."""

    library: ClassVar[str] = "torch"
    move: ClassVar[str] = "call module.to('{device}')"

    def __init__(self, ops: Ops) -> None:
        super().__init__(ops)
        self.device = torch_device(ops)

    def copy_of(self, tensor: Any) -> Any:
        return self.from_tensor(tensor.detach().clone())

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor)

    def place_of(self, tensor: Any) -> Device:
        return Device(tensor.device.type, tensor.device.index or 0)

    @staticmethod
    def dtype_name(dtype: Any) -> str:
        return str(dtype).removeprefix("torch.")


class _NumpyBridge(TorchBridge):
    def to_tensor(self, array: Any) -> Any:
        # Torch has no read-only memory, foreign byte order or negative strides (by DLPack they end the process).
        if array.flags.behaved:
            try:
                return torch.from_numpy(array)
            except (TypeError, ValueError):
                pass
        try:
            return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True))
        except TypeError as error:
            raise self.no_dtype(array.dtype, of="torch") from error

    def from_tensor(self, tensor: Any) -> Any:
        try:
            return tensor.numpy()
        except TypeError as error:
            raise self.no_dtype(tensor.dtype, of="numpy") from error


class _JaxBridge(TorchBridge):
    def to_tensor(self, array: Any) -> Any:
        return torch.from_dlpack(self.untraced(array))  # waits until JAX has computed it

    def from_tensor(self, tensor: Any) -> Any:
        import jax

        tensor = tensor.contiguous()  # XLA reads no other strides
        if tensor.element_size() < 8:
            array = jax.dlpack.from_dlpack(tensor)
        else:
            with jax.enable_x64(True):
                array = jax.dlpack.from_dlpack(tensor)
        return array if self.ops.backend.owns(array) else self.ops.backend.asarray(array, None)


class _CupyBridge(TorchBridge):
    def to_tensor(self, array: Any) -> Any:
        if any(stride < 0 for stride in array.strides):
            array = array.copy(order="C")
        return torch.from_dlpack(array)

    def from_tensor(self, tensor: Any) -> Any:
        import cupy

        return cupy.from_dlpack(tensor)


BRIDGES = {"numpy": _NumpyBridge, "jax": _JaxBridge, "cupy": _CupyBridge}


def torch_device(ops: Ops) -> Any:
    """Torch's name of the device of `ops`. Raises ArgumentError where torch has no such device."""
    device = ops.backend.device
    if device.kind == "cpu":
        return torch.device("cpu")
    if device.kind == "cuda":
        return torch.device("cuda", device.index)
    raise ArgumentError(f"torch cannot share memory with {device}: use ops on a CPU or a CUDA device")
