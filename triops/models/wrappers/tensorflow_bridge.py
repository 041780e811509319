"""Arrays of triops' backends as tensors of TensorFlow, and back. Its tensors never change: what may be written to
later is copied on its way in, and what comes out is read-only where its memory is shared."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from triops.backends.backend import Device
from triops.errors import ArgumentError
from triops.models.wrappers.bridge import Bridge
from triops.ops import Ops

__all__ = ["BRIDGES"]

_KINDS = {"cpu": "CPU", "cuda": "GPU"}


class TensorFlowBridge(Bridge):
    """What is the same for all arrays."""

    library: ClassVar[str] = "tensorflow"
    move: ClassVar[str] = "make it in a block of tf.device('{device}')"

    def __init__(self, ops: Ops) -> None:
        super().__init__(ops)
        device = ops.backend.device
        if device.kind not in _KINDS:
            raise ArgumentError(
                f"tensorflow cannot share memory with {device}: use ops on a CPU or a CUDA device"
            )
        self.device = f"{_KINDS[device.kind]}:{device.index}"

    def to_own_tensor(self, array: Any) -> Any:
        # A variable takes over the memory of what it is assigned, and adds to it in place.
        return tf.raw_ops.DeepCopy(x=self.to_tensor(array))

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, tf.Tensor)

    def place_of(self, tensor: Any) -> Device:
        if not tensor.device:
            return self.ops.backend.device
        spec = tf.DeviceSpec.from_string(tensor.device)
        return Device({"GPU": "cuda"}.get(spec.device_type, spec.device_type.lower()), spec.device_index or 0)

    @staticmethod
    def dtype_name(dtype: Any) -> str:
        return str(tf.as_dtype(dtype).name)


class _NumpyBridge(TensorFlowBridge):
    def to_tensor(self, array: Any) -> Any:
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        try:
            return tf.constant(array)
        except (TypeError, ValueError) as error:
            raise self.no_dtype(array.dtype, of="tensorflow") from error

    def from_tensor(self, tensor: Any) -> Any:
        try:
            return np.asarray(memoryview(tensor))  # `tensor.numpy()` would be a copy
        except (TypeError, ValueError, BufferError) as error:
            raise self.no_dtype(tensor.dtype, of="numpy") from error

    def copy_of(self, tensor: Any) -> Any:
        return np.array(self.from_tensor(tensor))


class _JaxBridge(TensorFlowBridge):
    def to_tensor(self, array: Any) -> Any:
        return tf.experimental.dlpack.from_dlpack(self.untraced(array).__dlpack__())

    def from_tensor(self, tensor: Any) -> Any:
        import jax

        with jax.enable_x64(True):
            array = jax.dlpack.from_dlpack(tensor)
        return array if self.ops.backend.owns(array) else self.ops.backend.asarray(array, None)

    def copy_of(self, tensor: Any) -> Any:
        return self.from_tensor(tensor)  # neither of the two ever changes


class _CupyBridge(TensorFlowBridge):
    def to_tensor(self, array: Any) -> Any:
        return tf.experimental.dlpack.from_dlpack(array.copy(order="C").toDlpack())

    def from_tensor(self, tensor: Any) -> Any:
        import cupy

        return cupy.from_dlpack(tensor)

    def copy_of(self, tensor: Any) -> Any:
        return self.from_tensor(tensor).copy()


BRIDGES = {"numpy": _NumpyBridge, "jax": _JaxBridge, "cupy": _CupyBridge}
