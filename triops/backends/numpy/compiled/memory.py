"""Words of memory by their address, and functions of C: what Python's and NumPy's objects are looked at with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from triops.backends.numpy.compiled.jit import intrinsic

__all__ = ["call", "inverse", "load", "load_half", "room", "store"]

_WORD, _HALF = ir.IntType(64), ir.IntType(32)


def _place(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def load(context: Any, address: Any) -> Any:
    """The word at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(builder, args[0], _WORD))

    return types.int64(types.int64), generate


@intrinsic
def load_half(context: Any, address: Any) -> Any:
    """The 32-bit integer at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sext(builder.load(_place(builder, args[0], _HALF)), _WORD)

    return types.int64(types.int64), generate


@intrinsic
def store(context: Any, address: Any, value: Any) -> Any:
    """Set the word at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], _place(builder, args[0], _WORD))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def inverse(context: Any, bits: Any) -> Any:
    """1/x of a float64 in a word."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = builder.bitcast(args[0], ir.DoubleType())
        return builder.bitcast(builder.fdiv(ir.Constant(number.type, 1.0), number), _WORD)

    return types.int64(types.int64), generate


def room(words: int) -> Callable[[], Any]:
    """A function whose result is the address of so many words of its caller's stack."""

    @intrinsic
    def address(context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.ptrtoint(cgutils.alloca_once(builder, _WORD, words), _WORD)

        return types.int64(), generate

    return address


@intrinsic
def call(context: Any, function: Any, args: Any) -> Any:
    """What the function at an address returns for a tuple of words."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        words = cgutils.unpack_tuple(builder, given[1])
        kind = ir.FunctionType(_WORD, [_WORD] * len(words))
        return builder.call(_place(builder, given[0], kind), words)

    return types.int64(types.int64, args), generate
