"""A matrix as tiles read it fastest: each `PANEL` of its columns on its own, row after row."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from triops.backends.numpy.compiled.counts import smaller
from triops.backends.numpy.compiled.jit import called, intrinsic
from triops.backends.numpy.compiled.places import at, get, put
from triops.backends.numpy.compiled.scalar import F
from triops.backends.numpy.compiled.scratch import empty
from triops.backends.numpy.compiled.tiles import PANEL, in_panels

__all__ = ["plain_panels", "turn", "turned_panels"]


@intrinsic
def _turn(context: Any, source: Any, step: Any, rows: Any, scale: Any, target: Any, step_target: Any) -> Any:
    """A square of `PANEL` rows and columns, transposed and scaled. The first row stands for those that are not
    there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, step, rows, scale, target, step_target = args
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
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), scale, short(0))
        scales = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(short, PANEL), None))
        for i, row in enumerate(square):
            builder.store(builder.fmul(row, scales), place(target, step_target, number(i)), align=4)
        return context.get_dummy_value()

    number = types.int64
    return types.void(number, number, number, types.float32, number, number), generate


@called
def turn(X: int, step: int, rows: int, columns: int, scale: Any, turned: int, wide: int) -> None:
    """(scale X)ᵀ, for the X at an address, and so many entries from row to row. turned: where the result goes,
    whole panels wide, of which only as many columns as X has rows are worth anything."""
    even = columns // PANEL * PANEL
    for t in range(0, rows, PANEL):
        for c in range(0, even, PANEL):
            _turn(X + 4 * (t * step + c), step, rows - t, scale, turned + 4 * (c * wide + t), wide)
        for c in range(even, columns):
            for i in range(t, smaller(t + PANEL, rows)):
                put(turned, c * wide + i, scale * get(X, i * step + c))


@called
def turned_panels(B: Any, first: int, end: int) -> Any:
    """The panels of Bᵀ, for some rows of B: (N/`PANEL` rounded up, K, `PANEL`). B: (N, K)."""
    terms = B.shape[1]
    panels = empty((in_panels(end - first), terms, PANEL))
    for p in range(panels.shape[0]):
        start = first + PANEL * p
        rows = smaller(PANEL, end - start)
        turn(at(B, start * terms), terms, rows, terms, F(1), at(panels, p * terms * PANEL), PANEL)
    return panels


@called
def plain_panels(B: Any, first: int, end: int) -> Any:
    """The panels of some columns of B. B: (K, N)."""
    panels = empty((in_panels(end - first), B.shape[0], PANEL))
    for p in range(panels.shape[0]):
        start, panel = first + PANEL * p, panels[p]
        columns = smaller(PANEL, end - start)
        for k in range(panel.shape[0]):
            for j in range(columns):
                panel[k, j] = B[k, start + j]
    return panels
