"""Memory that threads of compiled code share: whole numbers at addresses, in one order for all threads."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from triops.backends.numpy.compiled.jit import intrinsic

__all__ = ["add", "call", "load", "pause", "store", "swap"]

_I64, _VOID = ir.IntType(64), ir.VoidType()
# LLVM's own name of the instruction, by the processor, and its arguments.
_PAUSES = {
    "x86_64": ("llvm.x86.sse2.pause", []),
    "aarch64": ("llvm.aarch64.hint", [ir.IntType(32)(1)]),
    "arm64": ("llvm.aarch64.hint", [ir.IntType(32)(1)]),
}


def _at(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _I64.as_pointer())


@intrinsic
def load(context: Any, address: Any) -> Any:
    """The number at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_at(builder, args[0]), "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def store(context: Any, address: Any, value: Any) -> Any:
    """Put a number at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], _at(builder, args[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def add(context: Any, address: Any, value: Any) -> Any:
    """Add to the number at an address; returns what it was before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", _at(builder, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def swap(context: Any, address: Any, value: Any) -> Any:
    """Put a number at an address; returns what it was before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("xchg", _at(builder, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def pause(context: Any) -> Any:
    """Tell the core that this thread only waits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        known = _PAUSES.get(builder.module.triple.split("-")[0])
        if known is not None:
            name, arguments = known
            kind = ir.FunctionType(_VOID, [argument.type for argument in arguments])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def call(context: Any, function: Any, data: Any, number: Any) -> Any:
    """Call `void function(int64 data, int64 number)` at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_VOID, [_I64, _I64])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate
