"""Memory of the NumPy backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np

from triops.backends.backend import Backend, Device
from triops.backends.host import as_host_array
from triops.backends.idle import rest_idle_threads
from triops.backends.malloc import keep_freed_memory
from triops.backends.numpy.written import head_and_call, written
from triops.backends.threads import blas_library, obey_machine
from triops.types import Array, DType, Shape

__all__ = ["NumpyBackend"]

_CPU = Device("cpu", 0)
# float32 data, and ids to hash.
_COMPILED_DTYPES = frozenset(map(np.dtype, ("float32", "int64", "uint64")))
_OF_NUMBERS = frozenset({"dropout_mask"})  # ops without an array whose dtype could say which kernel it is


class NumpyBackend(Backend):
    """NumPy arrays, with kernels that Numba compiles where it is installed."""

    name: ClassVar[str] = "numpy"
    # A reduction to a single value gives a NumPy scalar, which is an array of rank 0 to every op.
    owned_types = frozenset({np.ndarray, *np.sctypeDict.values()})
    xp = np

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        keep_freed_memory()
        rest_idle_threads(blas_library())
        obey_machine()

    @classmethod
    def devices(cls) -> tuple[Device, ...]:
        return (_CPU,)

    @classmethod
    def versions(cls) -> dict[str, str]:
        try:
            numba = version("numba")
        except PackageNotFoundError:
            return {"numpy": np.__version__}
        return {"numpy": np.__version__, "numba": numba}

    def is_array(self, data: object) -> bool:
        # `*` of a matrix is a product, and what is masked is no number.
        return isinstance(data, (np.ndarray, np.generic)) and not isinstance(data, (np.matrix, np.ma.MaskedArray))

    def device_of(self, array: Array) -> Device:
        return _CPU

    def asarray(self, data: Any, dtype: DType | None) -> Any:
        return as_host_array(data, dtype)

    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array)

    def from_host(self, arrays: list[Any]) -> list[Any]:
        return arrays

    def word(self, value: int) -> Any:
        return value

    def alloc(self, shape: Shape, dtype: DType, *, zeros: bool) -> Any:
        return (np.zeros if zeros else np.empty)(tuple(shape), dtype=dtype)

    @cached_property
    def extremes(self) -> Callable[[Any], tuple[int, int, int]]:  # found once, since every check asks
        try:
            from triops.backends.numpy.compiled.integers import extremes
        except ImportError:
            return super().extremes
        return extremes

    @cached_property
    def rises(self) -> Callable[[Any], tuple[int, int]]:
        try:
            from triops.backends.numpy.compiled.integers import rises
        except ImportError:
            return super().rises
        return rises

    @cached_property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        from triops.backends.numpy.kernels import KERNELS

        return KERNELS

    @cached_property
    def compiled(self) -> Mapping[str, Callable[..., Any]]:
        """Kernels that Numba compiles, none where it is not installed."""
        try:
            from triops.backends.numpy.compiled import COMPILED
        except ImportError:
            return {}
        return COMPILED

    def make_direct(self, ops: object, kernels: dict[str, Callable[..., Any]]) -> None:
        if self.compiled:
            from triops.backends.numpy.compiled.direct import make_direct

            make_direct(ops, kernels)

    def kernel(self, name: str, formula: Callable[..., Any]) -> Callable[..., Any]:
        general = super().kernel(name, formula)
        compiled = self.compiled.get(name)
        if compiled is None or name in _OF_NUMBERS:
            return compiled or general
        return _by_dtype(compiled, general)


def _by_dtype(compiled: Callable[..., Any], general: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled kernel where it takes the call, the general one for other dtypes and settings."""

    head, given = head_and_call(compiled)
    first = head.split(",")[0]
    array = f"{first}[0]" if first == "gradients" else first
    return written(
        f"def call({head}):\n"
        f"    if {array}.dtype in dtypes:\n"
        f"        result = compiled({given})\n"
        f"        if result is not NotImplemented:\n"
        f"            return result\n"
        f"    return general({given})\n",
        {"compiled": compiled, "general": general, "dtypes": _COMPILED_DTYPES},
    )
