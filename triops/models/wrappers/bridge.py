"""Arrays of triops' backends as torch tensors, and back. Memory is shared by DLPack, or by NumPy's own buffer,
which does the same in half the time; what cannot be shared safely is copied."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch

from triops.errors import ArgumentError, DTypeError
from triops.ops import Ops

__all__ = ["Bridge", "bridge_to", "dtype_name", "torch_device"]


class Bridge(ABC):
    """Between the arrays of one Ops and the tensors of torch on the same device. Neither side may write to what
    it gets: it may be the other's memory."""

    def __init__(self, ops: Ops) -> None:
        self.ops = ops

    @abstractmethod
    def to_torch(self, array: Any) -> Any:
        """A tensor of the array's shape and dtype: a new object, in the array's memory where that is possible."""

    @abstractmethod
    def from_torch(self, tensor: Any) -> Any:
        """An array of the tensor's shape and dtype. The tensor is dense and needs no gradient."""


class _NumpyBridge(Bridge):
    def to_torch(self, array: Any) -> Any:
        # Torch has no read-only memory, foreign byte order or negative strides (by DLPack they end the process).
        if array.flags.behaved:
            try:
                return torch.from_numpy(array)
            except (TypeError, ValueError):
                pass
        try:
            return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True))
        except TypeError as error:
            raise DTypeError(
                f"torch has no dtype for NumPy's {array.dtype}: convert it to float32 first"
            ) from error

    def from_torch(self, tensor: Any) -> Any:
        try:
            return tensor.numpy()
        except TypeError as error:
            raise DTypeError(
                f"NumPy has no dtype for {tensor.dtype}: end the module with .float(), or use JAX"
            ) from error


class _JaxBridge(Bridge):
    def to_torch(self, array: Any) -> Any:
        if self.ops.backend.is_traced(array):
            raise ArgumentError(
                "a torch module needs the values of its input, and JAX is tracing it: leave the wrapper out of "
                "what is compiled"
            )
        return torch.from_dlpack(array)  # waits until JAX has computed it

    def from_torch(self, tensor: Any) -> Any:
        import jax

        tensor = tensor.contiguous()  # XLA reads no other strides
        if tensor.element_size() < 8:
            array = jax.dlpack.from_dlpack(tensor)
        else:
            with jax.enable_x64(True):
                array = jax.dlpack.from_dlpack(tensor)
        return array if self.ops.backend.owns(array) else self.ops.backend.asarray(array, None)


class _CupyBridge(Bridge):
    def to_torch(self, array: Any) -> Any:
        if any(stride < 0 for stride in array.strides):
            array = array.copy(order="C")
        return torch.from_dlpack(array)

    def from_torch(self, tensor: Any) -> Any:
        import cupy

        return cupy.from_dlpack(tensor)


_BRIDGES: dict[str, type[Bridge]] = {"numpy": _NumpyBridge, "jax": _JaxBridge, "cupy": _CupyBridge}


def bridge_to(ops: Ops) -> Bridge:
    """The bridge between torch and the arrays of `ops`."""
    return _BRIDGES[ops.name](ops)


def torch_device(ops: Ops) -> Any:
    """Torch's name of the device of `ops`. Raises ArgumentError where torch has no such device."""
    device = ops.backend.device
    if device.kind == "cpu":
        return torch.device("cpu")
    if device.kind == "cuda":
        return torch.device("cuda", device.index)
    raise ArgumentError(f"torch cannot share memory with {device}: use ops on a CPU or a CUDA device")


def dtype_name(dtype: Any) -> str:
    """Torch's dtype as every array library names it: `float32`."""
    return str(dtype).removeprefix("torch.")
