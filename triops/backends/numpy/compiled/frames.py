"""Kernels as functions of one address, at which all their arguments are: what calls those of any kind alike."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.np import arrayobj

__all__ = ["add_framed", "address_of_framed", "can_be_framed"]

_WORD = ir.IntType(64)


def can_be_framed(described: Any) -> bool:
    """Whether a function has but arrays and numbers for arguments, and returns nothing or a number."""
    returned = described.restype == types.none or isinstance(described.restype, types.Integer)
    return returned and all(
        isinstance(kind, types.Array) or kind in (types.float64, types.int64) for kind in described.argtypes
    )


def add_framed(context: Any, library: Any, described: Any) -> None:
    """Have in the library, too, a function of an address: an array's address and extents, or a number, are each a
    word there, argument after argument. It returns what the function does, or 0; and 1 where memory is short."""
    module = context.create_module("framed")
    kind = context.call_conv.get_function_type(described.restype, described.argtypes)
    inner = ir.Function(module, kind, described.llvm_func_name)
    outer = ir.Function(module, ir.FunctionType(_WORD, [_WORD]), _name(described))
    builder = ir.IRBuilder(outer.append_basic_block())
    words = _words(builder, outer.args[0])
    args = [_argument(context, builder, kind, words) for kind in described.argtypes]
    status, result = context.call_conv.call_function(builder, inner, described.restype, described.argtypes, args)
    if described.restype == types.none:
        result = _WORD(0)
    else:
        result = context.cast(builder, result, described.restype, types.int64)
    builder.ret(builder.select(status.is_error, _WORD(1), result))
    library.add_ir_module(module)


def address_of_framed(made: Any) -> int:
    """Where that function of a compiled one is."""
    return int(made.library.get_pointer_to_function(_name(made.fndesc)))


def _name(described: Any) -> str:
    return f"framed.{described.llvm_func_name}"


def _words(builder: Any, address: Any) -> Any:
    at = builder.inttoptr(address, _WORD.as_pointer())
    while True:
        yield builder.load(at)
        at = builder.gep(at, [_WORD(1)])


def _argument(context: Any, builder: Any, kind: Any, words: Any) -> Any:
    if kind == types.float64:
        return builder.bitcast(next(words), ir.DoubleType())
    if kind == types.int64:
        return next(words)
    array = context.make_array(kind)(context, builder)
    data = builder.inttoptr(next(words), array.data.type)
    shape = [next(words) for _ in range(kind.ndim)]
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    steps = [_WORD(size)]
    for extent in reversed(shape[1:]):
        steps.insert(0, builder.mul(steps[0], extent))
    arrayobj.populate_array(array, data=data, shape=shape, strides=steps, itemsize=_WORD(size), meminfo=None)
    return array._getvalue()
