"""Arrays of triops' backends as the tensors of other libraries, and back. Memory is shared by DLPack, or by
NumPy's own buffer, which does the same in less time; what cannot be shared safely is copied."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar

from triops.backends.backend import Device
from triops.errors import ArgumentError, ArrayOwnerError, DTypeError
from triops.ops import Ops

__all__ = ["Bridge", "bridge_to"]


class Bridge(ABC):
    """Between the arrays of one Ops and the tensors of one library on the same device. Neither side may write
    to what it gets: it may be the other's memory."""

    library: ClassVar[str]
    move: ClassVar[str]  # what to do with tensors that are on another device
    device: Any  # the library's own name of the device

    def __init__(self, ops: Ops) -> None:
        self.ops = ops

    def __deepcopy__(self, memo: Any) -> Bridge:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return bridge_to, (self.library, self.ops)

    @abstractmethod
    def to_tensor(self, array: Any) -> Any:
        """A tensor of the array's shape and dtype: a new object, in the array's memory where that is possible."""

    def to_own_tensor(self, array: Any) -> Any:
        """A tensor that the library may keep as a variable's, and write to."""
        return self.to_tensor(array)

    @abstractmethod
    def from_tensor(self, tensor: Any) -> Any:
        """An array of the tensor's shape and dtype. The tensor is dense and needs no gradient."""

    @abstractmethod
    def copy_of(self, tensor: Any) -> Any:
        """An array that shares no memory with the tensor, and that the caller may change."""

    @abstractmethod
    def is_tensor(self, value: Any) -> bool:
        """Whether a value is the library's, with data in it."""

    @abstractmethod
    def place_of(self, tensor: Any) -> Device:
        """The device that a tensor lies on."""

    @staticmethod
    def dtype_name(dtype: Any) -> str:
        """The library's dtype as every array library names it: `float32`."""
        return str(dtype)

    def check_place(self, wrapper: str, name: str, tensor: Any) -> None:
        """Raise ArrayOwnerError where a tensor of the wrapped module is not on the device of the ops."""
        place = self.place_of(tensor)
        if place != self.ops.backend.device:
            raise ArrayOwnerError(
                f"{wrapper}: {name} of the module is on {place}, the ops are {self.ops!r}: "
                f"{self.move.format(device=self.device)} first, or choose the ops of its device"
            )

    def untraced(self, array: Any) -> Any:
        """The array, where it has a value; ArgumentError where JAX is tracing it."""
        if self.ops.backend.is_traced(array):
            raise ArgumentError(
                f"a {self.library} module needs the values of its input, and JAX is tracing it: leave the "
                f"wrapper out of what is compiled"
            )
        return array

    def no_dtype(self, dtype: Any, *, of: str) -> DTypeError:
        """The error where one of the two has no such dtype."""
        if of == self.library:
            return DTypeError(f"{of} has no dtype for NumPy's {dtype}: convert it to float32 first")
        return DTypeError(f"NumPy has no dtype for {dtype}: end the module with float32, or use JAX")


def bridge_to(library: str, ops: Ops) -> Bridge:
    """The bridge between the arrays of `ops` and "torch", "jax" or "tensorflow". Raises ArgumentError where the
    library has no such device."""
    module = import_module(f"triops.models.wrappers.{library}_bridge")
    bridge: Bridge = module.BRIDGES[ops.name](ops)
    return bridge
