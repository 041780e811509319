"""Memory of the CuPy backend. It computes by the agnostic formulas and the few kernels beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import cupy

from triops.backends.backend import Backend, Device
from triops.backends.host import as_host_array
from triops.errors import BackendUnavailable
from triops.types import Array, DType, Shape

__all__ = ["CupyBackend"]


class CupyBackend(Backend):
    """cupy.ndarray on one CUDA device."""

    name: ClassVar[str] = "cupy"
    xp = cupy

    @classmethod
    def devices(cls) -> tuple[Device, ...]:
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise BackendUnavailable(
                f"CuPy finds no CUDA device ({error}): use a machine with an NVIDIA GPU and a driver that "
                f"fits this CuPy, or choose another backend"
            ) from error
        if count == 0:
            raise BackendUnavailable("CuPy finds no CUDA device: choose another backend")
        return tuple(Device("cuda", index) for index in range(count))

    @classmethod
    def versions(cls) -> dict[str, str]:
        runtime = cupy.cuda.runtime
        return {
            "cupy": cupy.__version__,
            "cuda": str(runtime.runtimeGetVersion()),
            "driver": str(runtime.driverGetVersion()),
        }

    def is_array(self, data: object) -> bool:
        return isinstance(data, cupy.ndarray)

    def owns(self, data: object) -> bool:
        return isinstance(data, cupy.ndarray) and data.device.id == self.device.index

    def device_of(self, array: Array) -> Device:
        return Device("cuda", array.device.id)  # type: ignore[attr-defined]

    def asarray(self, data: Any, dtype: DType | None) -> Any:
        with cupy.cuda.Device(self.device.index):
            if not isinstance(data, cupy.ndarray):
                data = as_host_array(data)
            return cupy.asarray(data, dtype=dtype)

    def to_numpy(self, array: Any) -> Any:
        return cupy.asnumpy(array)

    def alloc(self, shape: Shape, dtype: DType, *, zeros: bool) -> Any:
        with cupy.cuda.Device(self.device.index):
            return (cupy.zeros if zeros else cupy.empty)(tuple(shape), dtype=dtype)

    def synchronize(self, arrays: tuple[Any, ...]) -> None:
        cupy.cuda.Device(self.device.index).synchronize()

    def activate(self) -> None:
        cupy.cuda.Device(self.device.index).use()

    @cached_property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        from triops.backends.cupy.kernels import KERNELS

        return KERNELS
