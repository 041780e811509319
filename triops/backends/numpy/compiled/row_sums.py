"""Sums of rows of a table, chosen by number: a part of the sum stays in registers until it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from triops.backends.numpy.compiled.jit import called, intrinsic
from triops.backends.numpy.compiled.places import at
from triops.backends.numpy.compiled.tiles import PANEL, Vectors

__all__ = ["sum_rows"]

_PANELS = 4  # that are summed at once


def _summed(panels: int, *, whole: bool) -> Callable[..., Any]:
    """The sum for so many panels. whole: all of their columns are there, else as many as are said."""

    @intrinsic
    def summed(
        context: Any, table: Any, down: Any, numbers: Any, first: Any, end: Any, target: Any, columns: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            table, down, numbers, first, end, target, columns = args
            table, target = (builder.inttoptr(each, ir.FloatType().as_pointer()) for each in (table, target))
            numbers = builder.inttoptr(numbers, down.type.as_pointer())
            vectors = Vectors(builder, panels, None if whole else columns)
            totals = vectors.zeros()
            with cgutils.for_range(builder, end, start=first) as loop:
                number = builder.load(builder.gep(numbers, [loop.index]))
                row = builder.gep(table, [builder.mul(down, number)])
                for total, entries in zip(totals, vectors.load(row, down.type(PANEL)), strict=True):
                    builder.store(builder.fadd(builder.load(total), entries), total)
            vectors.store([builder.load(total) for total in totals], target)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), generate

    return summed


_whole = _summed(_PANELS, whole=True)
_last = _summed(1, whole=False)


@called
def sum_rows(table: Any, numbers: Any, first: int, end: int, out: Any, i: int) -> None:
    """out[i] = Σ table[numbers[n]], for n from `first` to before `end`, in this order. numbers: int64."""
    width = table.shape[1]
    wide = width // (_PANELS * PANEL) * (_PANELS * PANEL)
    source, target = at(table, 0), at(out, width * i)
    for j in range(0, wide, _PANELS * PANEL):
        _whole(source + 4 * j, width, at(numbers, 0), first, end, target + 4 * j, _PANELS * PANEL)
    for j in range(wide, width, PANEL):
        _last(source + 4 * j, width, at(numbers, 0), first, end, target + 4 * j, width - j)
