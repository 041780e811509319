"""Memory of the NumPy backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from triops.backends.backend import Backend, Device
from triops.backends.host import as_host_array
from triops.types import Array, DType, Shape

__all__ = ["NumpyBackend"]

_CPU = Device("cpu", 0)


class NumpyBackend(Backend):
    """NumPy arrays; matrix products go to NumPy's BLAS."""

    name: ClassVar[str] = "numpy"
    xp = np

    @classmethod
    def devices(cls) -> tuple[Device, ...]:
        return (_CPU,)

    @classmethod
    def versions(cls) -> dict[str, str]:
        return {"numpy": np.__version__}

    def is_array(self, data: object) -> bool:
        # A reduction to a single value gives a NumPy scalar, which is an array of rank 0 to every op.
        return isinstance(data, np.ndarray | np.generic)

    def device_of(self, array: Array) -> Device:
        return _CPU

    def asarray(self, data: Any, dtype: DType | None) -> Any:
        return as_host_array(data, dtype)

    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array)

    def alloc(self, shape: Shape, dtype: DType, *, zeros: bool) -> Any:
        return (np.zeros if zeros else np.empty)(tuple(shape), dtype=dtype)

    @cached_property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        from triops.backends.numpy.kernels import KERNELS

        return KERNELS
