"""A matrix as tiles read it fastest: each `PANEL` of its columns on its own, row after row."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from triops.backends.numpy.compiled.counts import smaller
from triops.backends.numpy.compiled.jit import called, intrinsic
from triops.backends.numpy.compiled.scalar import F
from triops.backends.numpy.compiled.tiles import PANEL, in_panels

__all__ = ["plain_panels", "turn", "turned_panels"]


@intrinsic
def _turn(context: Any, source: Any, step: Any, rows: Any, target: Any, step_target: Any) -> Any:
    """A square of `PANEL` rows and columns, transposed. The first row stands for those that are not there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, step, rows, target, step_target = args
        vector, number, short = ir.VectorType(ir.FloatType(), PANEL), ir.IntType(64), ir.IntType(32)

        def place(address: Any, step: Any, row: Any) -> Any:
            entry = builder.gep(builder.inttoptr(address, ir.FloatType().as_pointer()), [builder.mul(step, row)])
            return builder.bitcast(entry, vector.as_pointer())

        square = []
        for i in range(PANEL):
            row = builder.select(builder.icmp_signed("<", number(i), rows), number(i), number(0))
            square.append(builder.load(place(source, step, row), align=4))
        # Each round exchanges one bit of the number of the row with that of the column.
        for bit in (1 << shift for shift in range(PANEL.bit_length() - 1)):
            lower = [j + PANEL - bit if j & bit else j for j in range(PANEL)]
            upper = [j + PANEL if j & bit else j + bit for j in range(PANEL)]
            for i in (i for i in range(PANEL) if not i & bit):
                pair = square[i], square[i + bit]
                for row, chosen in ((i, lower), (i + bit, upper)):
                    mask = ir.Constant(ir.VectorType(short, PANEL), chosen)
                    square[row] = builder.shuffle_vector(*pair, mask)
        for i, row in enumerate(square):
            builder.store(row, place(target, step_target, number(i)), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic
def _entry(context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], ir.FloatType().as_pointer()))

    return types.float32(types.int64), generate


@called
def turn(X: int, step: int, rows: int, columns: int, scale: Any, turned: Any) -> None:
    """(scale X)ᵀ, for the X at an address, and so many entries from row to row. turned: whole panels wide, of
    which only as many columns as X has rows are worth anything."""
    even = columns // PANEL * PANEL
    for t in range(0, rows, PANEL):
        for c in range(0, even, PANEL):
            place = turned.ctypes.data + 4 * (c * turned.shape[1] + t)
            _turn(X + 4 * (t * step + c), step, rows - t, place, turned.shape[1])
        for c in range(even, columns):
            for i in range(t, smaller(t + PANEL, rows)):
                turned[c, i] = _entry(X + 4 * (i * step + c))
    if scale != F(1):
        for c in range(columns):
            row = turned[c]
            for t in range(0, rows, PANEL):
                for i in range(PANEL):
                    row[t + i] *= scale


@called
def turned_panels(B: Any, first: int, end: int) -> Any:
    """The panels of Bᵀ, for some rows of B: (N/`PANEL` rounded up, K, `PANEL`). B: (N, K)."""
    terms = B.shape[1]
    panels = np.empty((in_panels(end - first), terms, PANEL), np.float32)
    for p in range(panels.shape[0]):
        start = first + PANEL * p
        rows = smaller(PANEL, end - start)
        turn(B.ctypes.data + 4 * start * terms, terms, rows, terms, F(1), panels[p])
    return panels


@called
def plain_panels(B: Any, first: int, end: int) -> Any:
    """The panels of some columns of B. B: (K, N)."""
    panels = np.empty((in_panels(end - first), B.shape[0], PANEL), np.float32)
    for p in range(panels.shape[0]):
        start, panel = first + PANEL * p, panels[p]
        columns = smaller(PANEL, end - start)
        for k in range(panel.shape[0]):
            for j in range(columns):
                panel[k, j] = B[k, start + j]
    return panels
