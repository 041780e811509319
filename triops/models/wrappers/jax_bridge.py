"""Arrays of triops' backends as arrays of JAX, and back. JAX's arrays never change: what may be written to later
is copied on its way in, and what comes out is read-only where its memory is shared."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import numpy as np

from triops.backends.backend import Device
from triops.errors import ArgumentError
from triops.models.wrappers.bridge import Bridge
from triops.ops import Ops

__all__ = ["BRIDGES"]

_PLATFORMS = {"cuda": "gpu"}
_KINDS = {"gpu": "cuda"}


class JaxBridge(Bridge):
    """What is the same for all arrays."""

    library: ClassVar[str] = "jax"
    move: ClassVar[str] = "move it with jax.device_put(..., {device!r})"

    def __init__(self, ops: Ops) -> None:
        super().__init__(ops)
        wanted = ops.backend.device
        try:
            found = jax.devices(_PLATFORMS.get(wanted.kind, wanted.kind))
        except RuntimeError as error:
            raise ArgumentError(
                f"JAX has no device {wanted} ({error}): use ops of a device that it has"
            ) from error
        self.device = next((device for device in found if device.id == wanted.index), found[0])
        self._is_default = self.device == jax.devices()[0]

    def copy_of(self, tensor: Any) -> Any:
        return self.from_tensor(tensor)

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, jax.Array)

    def place_of(self, tensor: Any) -> Device:
        if isinstance(tensor, jax.core.Tracer):
            return self.ops.backend.device
        device = next(iter(tensor.devices()))
        return Device(_KINDS.get(device.platform, device.platform), device.id)


class _NumpyBridge(JaxBridge):
    def to_tensor(self, array: Any) -> Any:
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise self.no_dtype(array.dtype, of="jax")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
            with jax.enable_x64(True):  # else it would lose half of its bits without a word
                return jax.device_put(np.array(array), self.device)
        # A compiled program takes NumPy's arrays as they are, and copies them in less time than DLPack takes.
        return array if self._is_default else jax.device_put(np.array(array), self.device)

    def from_tensor(self, tensor: Any) -> Any:
        array = np.asarray(tensor)
        if array.dtype.kind not in "biuf":
            raise self.no_dtype(tensor.dtype, of="numpy")
        return array

    def copy_of(self, tensor: Any) -> Any:
        return np.array(self.from_tensor(tensor))


class _JaxBridge(JaxBridge):
    def to_tensor(self, array: Any) -> Any:
        return array

    def from_tensor(self, tensor: Any) -> Any:
        return tensor


class _CupyBridge(JaxBridge):
    def to_tensor(self, array: Any) -> Any:
        with jax.enable_x64(True):
            return jax.dlpack.from_dlpack(array.copy(order="C"))  # the caller may write to it, JAX's never change

    def from_tensor(self, tensor: Any) -> Any:
        import cupy

        return cupy.from_dlpack(tensor)

    def copy_of(self, tensor: Any) -> Any:
        return self.from_tensor(tensor).copy()


BRIDGES = {"numpy": _NumpyBridge, "jax": _JaxBridge, "cupy": _CupyBridge}
