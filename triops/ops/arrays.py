"""Making arrays, and bringing them back."""

from __future__ import annotations

import math
from typing import Any

from triops.errors import DTypeError, ShapeError
from triops.ops.base import OpsBase, extents_of
from triops.types import Array, DType, Shape

__all__ = ["ArrayOps"]

_KINDS = "biuf"


class ArrayOps(OpsBase):
    """asarray, alloc, to_numpy, synchronize."""

    def asarray(self, data: Any, dtype: DType | None = None) -> Any:
        """`data` as an array of these ops, on their device.

        data: nested sequences of numbers, or an array of any backend: this is the one place that copies
            between backends.
        dtype: None makes float64 data float32, the default, and keeps every other width. An array of these
            ops that has the dtype already is returned as it is.

        Raises DTypeError where `data` holds no numbers, ShapeError where rows have unequal lengths.
        """
        try:
            array = self.backend.asarray(data, dtype)
        except ValueError as error:
            if "inhomogeneous" in str(error):
                raise ShapeError(
                    f"asarray: the rows have unequal lengths ({error}): pad them, or keep a list of arrays"
                ) from error
            raise DTypeError(f"asarray: data cannot be an array of numbers ({error})") from error
        except TypeError as error:
            raise DTypeError(f"asarray: data cannot be an array of numbers ({error})") from error
        if dtype is None and array.dtype == "float64":
            return self.backend.asarray(array, "float32")
        if array.dtype.kind not in _KINDS and array.dtype.name != "bfloat16":
            raise DTypeError(
                f"asarray: data must be numbers, got {type(data).__name__} of {array.dtype}: turn strings "
                f"into ids first"
            )
        return array

    def alloc(self, shape: Shape | int, dtype: DType = "float32", *, zeros: bool = True) -> Any:
        """A new array of that shape: zeros, or whatever the memory held where `zeros` is False.

        Raises ShapeError for a negative extent.
        """
        return self.backend.alloc(extents_of("alloc", shape), dtype, zeros=zeros)

    def to_numpy(self, array: Array) -> Any:
        """An array of these ops as a NumPy array on the host. It may be a read-only view: copy it to
        write to it."""
        self.check_owner("to_numpy", "array", array)
        return self.backend.to_numpy(array)

    def from_bytes(self, data: bytes, dtype: str, shape: Shape) -> Any:
        """An array from its little-endian bytes in row order. Raises ShapeError where their number does not fit
        the dtype and shape."""
        size = math.prod(shape) * self.backend.host.item_size(dtype)
        if len(data) != size:
            raise ShapeError(
                f"from_bytes: data of dtype {dtype} and shape {tuple(shape)} is {size} bytes, got {len(data)}"
            )
        return self.backend.asarray(self.backend.host.from_bytes(data, dtype, tuple(shape)), None)

    def synchronize(self, *arrays: Array) -> None:
        """Wait until these arrays are computed, or everything on the device where none is given."""
        self.backend.synchronize(arrays)
