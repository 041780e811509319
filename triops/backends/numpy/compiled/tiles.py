"""Products of small matrices, which a BLAS would copy before it multiplies: a tile of the result stays in
registers while the inner dimension goes by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from triops.backends.numpy.compiled.jit import apart, called, intrinsic

__all__ = ["in_tiles", "tiled", "tiles_wide"]

_DOWN, _ACROSS = 4, 16  # rows and columns of a tile
_WIDTH = 8  # entries of a vector; the compiler makes of it what the CPU has
_MEANING = ("contract",)


def _tile(rows: int) -> Callable[..., Any]:
    """C = A B, or C += A B, for so many rows and `_ACROSS` columns of C; all are addresses, and steps are in
    entries. A may be read transposed: it has a step from row to row and one along a row."""

    @intrinsic
    def tile(
        context: Any, A: Any, down_A: Any, along_A: Any, B: Any, step_B: Any, C: Any, step_C: Any, inner: Any,
        add: Any,
    ) -> Any:  # fmt: skip
        vector = ir.VectorType(ir.FloatType(), _WIDTH)
        number, short, entry = ir.IntType(64), ir.IntType(32), ir.FloatType().as_pointer()
        undefined = ir.Constant(vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(short, _WIDTH), [0] * _WIDTH)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            A, down_A, along_A, B, step_B, C, step_C, inner, add = args
            A, B, C = (builder.inttoptr(address, entry) for address in (A, B, C))

            def vectors(base: Any, offset: Any) -> list[Any]:
                first = builder.gep(base, [offset])
                places = [builder.gep(first, [number(_WIDTH * v)]) for v in range(_ACROSS // _WIDTH)]
                return [builder.bitcast(place, vector.as_pointer()) for place in places]

            sums = [[cgutils.alloca_once(builder, vector) for _ in range(_ACROSS // _WIDTH)] for _ in range(rows)]
            targets = [vectors(C, builder.mul(step_C, number(i))) for i in range(rows)]
            zero = ir.Constant(vector, [0.0] * _WIDTH)
            with builder.if_else(add) as (kept, fresh):
                with kept:
                    for total, place in _pairs(sums, targets):
                        builder.store(builder.load(place, align=4), total)
                with fresh:
                    for total, _ in _pairs(sums, targets):
                        builder.store(zero, total)
            with cgutils.for_range(builder, inner) as loop:
                columns = [builder.load(place, align=4) for place in vectors(B, builder.mul(step_B, loop.index))]
                along = builder.mul(along_A, loop.index)
                for i in range(rows):
                    place = builder.gep(A, [builder.add(builder.mul(down_A, number(i)), along)])
                    one = builder.insert_element(undefined, builder.load(place), short(0))
                    factor = builder.shuffle_vector(one, one, everywhere)
                    for total, column in zip(sums[i], columns, strict=True):
                        product = builder.fmul(factor, column, flags=_MEANING)
                        builder.store(builder.fadd(builder.load(total), product, flags=_MEANING), total)
            for total, place in _pairs(sums, targets):
                builder.store(builder.load(total), place, align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8, types.boolean), generate

    return tile


def _pairs(sums: list[Any], targets: list[Any]) -> list[tuple[Any, Any]]:
    return [pair for each, places in zip(sums, targets, strict=True) for pair in zip(each, places, strict=True)]


_four, _one = _tile(_DOWN), _tile(1)


def tiles_wide(columns: int) -> int:
    """The next number of columns that tiles fit in."""
    return (columns + _ACROSS - 1) // _ACROSS * _ACROSS


in_tiles = called(tiles_wide)


@called
def tiled(
    A: int, down_A: int, along_A: int, B: int, step_B: int, C: int, step_C: int, rows: int, inner: int,
    columns: int, add: bool,
) -> None:  # fmt: skip
    """C = A B, or C += A B, for any number of rows, and as many columns as tiles fit in. A row is the same
    whatever others there are."""
    # Of one type each, whatever is written in a call: Numba would compile the loops for each constant in it.
    _tiled(
        np.int64(A), np.int64(down_A), np.int64(along_A), np.int64(B), np.int64(step_B), np.int64(C),
        np.int64(step_C), np.int64(rows), np.int64(inner), np.int64(columns), np.bool_(add),
    )  # fmt: skip


@called
def _tiled(
    A: Any, down_A: Any, along_A: Any, B: Any, step_B: Any, C: Any, step_C: Any, rows: Any, inner: Any,
    columns: Any, add: Any,
) -> None:  # fmt: skip
    apart()
    fours = rows // _DOWN * _DOWN
    for j in range(0, columns, _ACROSS):
        b, c = B + 4 * j, C + 4 * j
        for i in range(0, fours, _DOWN):
            _four(A + 4 * down_A * i, down_A, along_A, b, step_B, c + 4 * step_C * i, step_C, inner, add)
        for i in range(fours, rows):
            _one(A + 4 * down_A * i, down_A, along_A, b, step_B, c + 4 * step_C * i, step_C, inner, add)
