"""Short rows that are whole panels: the compiler's own way of ending a row takes longer than the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from triops.backends.numpy.compiled.jit import intrinsic
from triops.backends.numpy.compiled.tiles import PANEL

__all__ = ["highest_key", "scale_row", "sum_of_products", "total_of"]

_FLOATS, _INTS = (ir.VectorType(kind, PANEL) for kind in (ir.FloatType(), ir.IntType(32)))
_FREE = ("reassoc", "contract")


def _place(builder: Any, address: Any, panel: Any) -> Any:
    place = builder.add(address, builder.mul(panel, ir.Constant(ir.IntType(64), 4 * PANEL)))
    return builder.inttoptr(place, _FLOATS.as_pointer())


def _splat(kind: Any, value: Any) -> Any:
    return ir.Constant(kind, [value] * PANEL)


def _reduced(
    name: str, kind: Any, start: Any, step: Callable[[Any, Any, list[Any]], Any], returned: Any, arrays: int
) -> Callable[..., Any]:
    """A function of the addresses of arrays, and of how many panels each has."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        *addresses, panels = args
        total = cgutils.alloca_once_value(builder, _splat(kind, start))
        with cgutils.for_range(builder, panels) as loop:
            loaded = [builder.load(_place(builder, address, loop.index), align=4) for address in addresses]
            builder.store(step(builder, builder.load(total), loaded), total)
        given = [builder.load(total)]
        if kind is _FLOATS:
            given.insert(0, ir.Constant(kind.element, -0.0))
        function = ir.FunctionType(kind.element, [each.type for each in given])
        reduce = cgutils.get_or_insert_function(builder.module, function, f"llvm.vector.reduce.{name}")
        return builder.call(reduce, given, fastmath=_FREE if kind is _FLOATS else ())

    signature = returned(*[types.int64] * (arrays + 1))
    if arrays == 1:
        return intrinsic(lambda context, one, panels: (signature, generate))
    return intrinsic(lambda context, one, other, panels: (signature, generate))


def _higher(builder: Any, key: Any, loaded: list[Any]) -> Any:
    bits = builder.bitcast(loaded[0], _INTS)
    turned = builder.and_(builder.ashr(bits, _splat(_INTS, 31)), _splat(_INTS, 0x7FFFFFFF))
    ordered = builder.xor(bits, turned)
    return builder.select(builder.icmp_signed(">", ordered, key), ordered, key)


def _plus(builder: Any, total: Any, loaded: list[Any]) -> Any:
    return builder.fadd(total, loaded[0], flags=_FREE)


def _plus_product(builder: Any, total: Any, loaded: list[Any]) -> Any:
    return builder.fadd(total, builder.fmul(*loaded, flags=_FREE), flags=_FREE)


@intrinsic
def scale_row(context: Any, row: Any, panels: Any, factor: Any) -> Any:
    """The row times a factor, in place."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, panels, factor = args
        one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), factor, ir.IntType(32)(0))
        factors = builder.shuffle_vector(one, one, _splat(_INTS, 0))
        with cgutils.for_range(builder, panels) as loop:
            place = _place(builder, row, loop.index)
            builder.store(builder.fmul(builder.load(place, align=4), factors), place, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), generate


highest_key = _reduced("smax.v16i32", _INTS, -(2**31), _higher, types.int32, 1)
"""The largest `order` of a row's entries."""
total_of = _reduced("fadd.v16f32", _FLOATS, 0.0, _plus, types.float32, 1)
sum_of_products = _reduced("fadd.v16f32", _FLOATS, 0.0, _plus_product, types.float32, 2)
