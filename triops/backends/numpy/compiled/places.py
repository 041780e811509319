"""Entries of float32 arrays by where they lie. What Numba makes of an index looks for negative ones, and what it
makes of a slice is an array: both take long to compile."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from triops.backends.numpy.compiled.jit import intrinsic

__all__ = ["at", "get", "put"]


def _entry(builder: Any, address: Any, i: Any) -> Any:
    return builder.gep(builder.inttoptr(address, ir.FloatType().as_pointer()), [i])


@intrinsic
def at(context: Any, array: Any, i: Any) -> Any:
    """The address of an entry of a contiguous array, counted through all dimensions."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.ptrtoint(builder.gep(data, [args[1]]), ir.IntType(64))

    return types.int64(array, types.int64), generate


@intrinsic
def get(context: Any, address: Any, i: Any) -> Any:
    """The entry so many places after the one at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_entry(builder, *args))

    return types.float32(types.int64, types.int64), generate


@intrinsic
def put(context: Any, address: Any, i: Any, value: Any) -> Any:
    """Store an entry there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _entry(builder, *args[:2]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), generate
