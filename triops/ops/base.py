"""The mechanism: an op checks its arguments once, then calls the backend's kernel of its name, or else the
formula of its name."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

from triops.backends import Backend, owner_of
from triops.errors import ArrayOwnerError, DTypeError, ShapeError
from triops.ops.formulas import FORMULAS
from triops.types import Array, Shape

__all__ = ["OpsBase", "extents_of", "is_float", "is_int"]


def is_float(dtype: Any) -> bool:
    """Whether a dtype is floating; bfloat16 is no kind of NumPy's own."""
    kind = dtype.kind
    return bool(kind == "f" or (kind == "V" and dtype.name == "bfloat16"))


def is_int(dtype: Any) -> bool:
    """Whether a dtype is an integer, signed or not."""
    return dtype.kind in "iu"


def extents_of(op: str, shape: Shape | int) -> tuple[int, ...]:
    """A shape, or the number of a vector's entries, as a tuple. Raises ShapeError for a negative extent."""
    extents = (index(shape),) if hasattr(shape, "__index__") else tuple(map(index, shape))
    if any(extent < 0 for extent in extents):
        raise ShapeError(f"{op}: shape must not have a negative extent, got {extents}")
    return extents


class OpsBase:
    """One backend, its kernels, and the checks that all ops share."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.xp: Any = backend.xp
        self._owns, self._owned_types, self._extremes = backend.owns, backend.owned_types, backend.extremes
        self._kernels: dict[str, Callable[..., Any]] = {
            name: backend.kernel(name, formula) for name, formula in FORMULAS.items()
        }
        self._list_kernels: dict[str, Callable[..., Any]] = {}
        backend.make_direct(self, self._kernels)

    @property
    def name(self) -> str:
        """The backend's name: "numpy", "cupy" or "jax"."""
        return self.backend.name

    @property
    def device(self) -> str:
        """The device, as in "cpu:0" or "cuda:1"."""
        return str(self.backend.device)

    def __repr__(self) -> str:
        return f"<Ops {self.name} on {self.device}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Ops hold a device: another process opens its own.
        from triops.ops.select import get_ops

        return get_ops, (self.name, self.device)

    def __copy__(self) -> OpsBase:
        return self

    def __deepcopy__(self, memo: Any) -> OpsBase:
        return self

    # -- the checks

    def check_owner(self, op: str, argument: str, array: Any) -> None:
        """Raise ArrayOwnerError where `array` is another backend's, DTypeError where it is no array."""
        if type(array) in self._owned_types or self._owns(array):
            return
        owner = owner_of(array)
        if owner is None:
            raise DTypeError(
                f"{op}: {argument} must be an array of {self!r}, got {type(array).__name__}: convert it "
                f"with ops.asarray(...)"
            )
        raise ArrayOwnerError(
            f"{op}: {argument} is an array of {owner.name} on {owner.device}, but these ops are "
            f"{self.name} on {self.device}: convert it with ops.asarray(...), or use the ops that own it, "
            f"triops.ops_of(array)"
        )

    def _floats(self, op: str, names: str, *arrays: Any) -> None:
        """Check that all are floating arrays of these ops with one dtype. names: of the arguments, for errors."""
        first: Any = arrays[0] if arrays else None
        owned = self._owned_types
        if type(first) in owned and (dtype := first.dtype).kind == "f":
            if len(arrays) == 1:
                return
            for array in arrays:
                if type(array) not in owned or array.dtype is not dtype:
                    break
            else:
                return
        self._check_floats(op, names.split(), arrays)

    def _check_floats(self, op: str, names: list[str], arrays: tuple[Any, ...]) -> None:
        """The same, where it is not seen at once."""
        dtype = None
        for argument, array in zip(names, arrays, strict=True):
            self.check_owner(op, argument, array)
            if not is_float(array.dtype):
                raise DTypeError(
                    f"{op}: {argument} must be a floating array, got {array.dtype}: convert it with "
                    f"ops.asarray({argument}, dtype='float32')"
                )
            if dtype is None:
                dtype, first = array.dtype, argument
            elif array.dtype != dtype:
                raise DTypeError(
                    f"{op}: {argument} is {array.dtype} and {first} is {dtype}: convert one of them, as "
                    f"in ops.asarray({argument}, dtype='{dtype}')"
                )

    def _ints(self, op: str, argument: str, array: Any) -> None:
        """Check that it is an integer array of these ops."""
        if type(array) in self._owned_types and array.dtype.kind in "iu":
            return
        self.check_owner(op, argument, array)
        if not is_int(array.dtype):
            raise DTypeError(
                f"{op}: {argument} must be an integer array, got {array.dtype}: convert it with "
                f"ops.asarray({argument}, dtype='int64')"
            )

    def _rank(self, op: str, argument: str, array: Array, ndim: int) -> None:
        if array.ndim != ndim:
            raise ShapeError(
                f"{op}: {argument} must have {ndim} dimension{'s' * (ndim != 1)}, got shape "
                f"{tuple(array.shape)}: reshape it"
            )

    def _shape(self, op: str, argument: str, array: Array, expected: tuple[int, ...], because: str) -> None:
        if array.shape != expected:
            raise ShapeError(
                f"{op}: {argument} must have shape {tuple(expected)} ({because}), got {tuple(array.shape)}"
            )

    def _width(self, op: str, X: Array) -> None:
        if X.ndim < 1 or X.shape[-1] == 0:
            raise ShapeError(f"{op}: X must have at least one column, got shape {tuple(X.shape)}")

    def can_look(self, array: Array) -> bool:
        """Whether values may be checked: not where it would wait for a device, or while tracing."""
        if type(array) in self._owned_types:
            return True
        return self.backend.reads_host_memory and not self.backend.is_traced(array)
