"""Matrix products, a tile of the result at a time: it stays in registers while the inner dimension goes by, and
each vector of B that is loaded meets every row of the tile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, config, types

from triops.backends.numpy.compiled.counts import larger, smaller
from triops.backends.numpy.compiled.jit import called, compiled, intrinsic, linked, source_of

__all__ = ["FEW", "NARROW", "PANEL", "Vectors", "in_panels", "in_tiles", "tiled", "tiles_wide"]

PANEL = 16  # columns that lie together: a line of a cache
FEW = 4  # rows of the tile that the last rows are done with
_INNER = 512  # of the inner dimension at a time: what a tile reads stays in the second cache
_MEANING = ("contract",)


def _has_wide_registers() -> bool:
    """32 registers of 16 entries. 16 of 8 are expected elsewhere: the compiler makes of them what there is."""
    said = config.CPU_FEATURES
    if said is None and config.CPU_NAME:
        return False
    features = said if said is not None else binding.get_host_cpu_features().flatten()
    return "+avx512f" in features.split(",")


_WIDE = _has_wide_registers()
_ENTRIES = 16 if _WIDE else 8  # of a vector
_MANY = 12 if _WIDE else 6  # rows of a tile
_PANELS = 2 if _WIDE else 1  # that a tile is wide
NARROW = _PANELS == 1  # tiles come back to the rows of B so often that these had better lie together


def _tile(most_rows: int, panels: int, *, all_rows: bool, all_columns: bool) -> Callable[..., Any]:
    """`tiled`, for so many rows from `first` on, and panels of C: all of them are there, or else as many as are
    said."""

    @intrinsic
    def tile(
        context: Any, A: Any, down_A: Any, along_A: Any, B: Any, down_B: Any, across_B: Any, C: Any, down_C: Any,
        first: Any, rows: Any, columns: Any, inner: Any, add: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            A, down_A, along_A, B, down_B, across_B, C, down_C, first, rows, columns, inner, add = args
            A, B, C = (builder.inttoptr(address, ir.FloatType().as_pointer()) for address in (A, B, C))
            A, C = (builder.gep(base, [builder.mul(down, first)]) for base, down in ((A, down_A), (C, down_C)))
            rows = builder.sub(rows, first)
            vectors = Vectors(builder, panels, None if all_columns else columns)
            # A row that is not there is read where the first is, and not stored.
            there = [_true if all_rows else builder.icmp_signed("<", _number(i), rows) for i in range(most_rows)]
            lines = [
                builder.gep(A, [builder.mul(down_A, builder.select(is_there, _number(i), _number(0)))])
                for i, is_there in enumerate(there)
            ]
            targets = [builder.gep(C, [builder.mul(down_C, _number(i))]) for i in range(most_rows)]
            sums = [vectors.zeros() for _ in targets]
            with builder.if_then(add):
                for is_there, target, own in zip(there, targets, sums, strict=True):
                    place = target if all_rows else builder.select(is_there, target, C)
                    for total, value in zip(own, vectors.load(place, _number(PANEL)), strict=True):
                        builder.store(value, total)
            with cgutils.for_range(builder, inner) as loop:
                row = vectors.load(builder.gep(B, [builder.mul(down_B, loop.index)]), across_B)
                along = builder.mul(along_A, loop.index)
                for line, own in zip(lines, sums, strict=True):
                    factor = vectors.all_of(builder.load(builder.gep(line, [along])))
                    for total, column in zip(own, row, strict=True):
                        product = builder.fmul(factor, column, flags=_MEANING)
                        builder.store(builder.fadd(builder.load(total), product, flags=_MEANING), total)
            for is_there, target, own in zip(there, targets, sums, strict=True):
                values = [builder.load(total) for total in own]
                if all_rows:
                    vectors.store(values, target)
                    continue
                with builder.if_then(is_there):
                    vectors.store(values, target)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 12, types.boolean), generate

    return tile


_true = ir.Constant(ir.IntType(1), 1)


def _number(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


class Vectors:
    """The vectors of some panels of a row. columns: how many of the entries are there, None for all."""

    def __init__(self, builder: Any, panels: int, columns: Any) -> None:
        self._builder, self._places = (
            builder,
            [divmod(_ENTRIES * v, PANEL) for v in range(panels * PANEL // _ENTRIES)],
        )
        self._kind = ir.VectorType(ir.FloatType(), _ENTRIES)
        self._zero = ir.Constant(self._kind, None)
        self._masks = None
        if columns is not None:
            every = self.all_of(columns)
            numbers = [PANEL * panel + first for panel, first in self._places]
            self._masks = [
                builder.icmp_signed("<", ir.Constant(every.type, list(range(n, n + _ENTRIES))), every)
                for n in numbers
            ]  # fmt: skip

    def zeros(self) -> list[Any]:
        """A variable for each, which begins with zeros."""
        return [cgutils.alloca_once_value(self._builder, self._zero) for _ in self._places]

    def all_of(self, value: Any) -> Any:
        """A vector of one number."""
        kind = ir.VectorType(value.type, _ENTRIES)
        one = self._builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
        first = ir.Constant(ir.VectorType(ir.IntType(32), _ENTRIES), None)
        return self._builder.shuffle_vector(one, one, first)

    def load(self, base: Any, across: Any) -> list[Any]:
        places = self._at(base, across)
        if self._masks is None:
            return [self._builder.load(place, align=4) for place in places]
        kinds = [places[0].type, ir.IntType(32), self._masks[0].type, self._kind]
        load = self._function("load", self._kind, kinds)
        return [
            self._builder.call(load, [place, kinds[1](4), mask, self._zero])
            for place, mask in zip(places, self._masks, strict=True)
        ]

    def store(self, values: list[Any], base: Any) -> None:
        places = self._at(base, _number(PANEL))
        if self._masks is None:
            for value, place in zip(values, places, strict=True):
                self._builder.store(value, place, align=4)
            return
        kinds = [self._kind, places[0].type, ir.IntType(32), self._masks[0].type]
        store = self._function("store", ir.VoidType(), kinds)
        for value, place, mask in zip(values, places, self._masks, strict=True):
            self._builder.call(store, [value, place, kinds[2](4), mask])

    def _at(self, base: Any, across: Any) -> list[Any]:
        first = [
            self._builder.gep(
                base, [self._builder.add(self._builder.mul(across, _number(panel)), _number(entry))]
            )
            for panel, entry in self._places
        ]
        return [self._builder.bitcast(place, self._kind.as_pointer()) for place in first]

    def _function(self, name: str, result: Any, kinds: list[Any]) -> Any:
        return cgutils.get_or_insert_function(
            self._builder.module, ir.FunctionType(result, kinds), f"llvm.masked.{name}.v{_ENTRIES}f32.p0"
        )


_whole = _tile(_MANY, _PANELS, all_rows=True, all_columns=True)
_last_columns = _tile(_MANY, 1, all_rows=True, all_columns=False)
_last_rows = _tile(FEW, _PANELS, all_rows=False, all_columns=False)


def tiles_wide(columns: int) -> int:
    """The next number of columns that panels fit in."""
    return (columns + PANEL - 1) // PANEL * PANEL


in_tiles = called(tiles_wide)


@called
def in_panels(columns: int) -> int:
    """How many panels so many columns are."""
    return (columns + PANEL - 1) // PANEL


def tiles(
    A: Any, down_A: Any, along_A: Any, B: Any, down_B: Any, across_B: Any, C: Any, down_C: Any, rows: Any,
    inner: Any, columns: Any, add: Any,
) -> None:  # fmt: skip
    full, panels = rows // _MANY * _MANY, (columns + PANEL - 1) // PANEL
    for k in range(0, larger(inner, 1), _INNER):
        some, a, b = smaller(inner - k, _INNER), A + 4 * along_A * k, B + 4 * down_B * k
        for p in range(0, panels, _PANELS):
            left, panel, c = columns - PANEL * p, b + 4 * across_B * p, C + 4 * PANEL * p
            if left >= _PANELS * PANEL:
                for i in range(0, full, _MANY):
                    _whole(
                        a, down_A, along_A, panel, down_B, across_B, c, down_C, i, rows, left, some, add
                    )  # fmt: skip
            else:
                for q in range(panels - p):
                    for i in range(0, full, _MANY):
                        _last_columns(
                            a, down_A, along_A, panel + 4 * across_B * q, down_B, across_B, c + 4 * PANEL * q,
                            down_C, i, rows, left - PANEL * q, some, add,
                        )  # fmt: skip
            for i in range(full, rows, FEW):
                _last_rows(
                    a, down_A, along_A, panel, down_B, across_B, c, down_C, i, rows, left, some, add
                )  # fmt: skip
        add = True


_tiles = compiled(*source_of(tiles), globals(), no_cpython_wrapper=True)


@intrinsic
def tiled(
    context: Any, A: Any, down_A: Any, along_A: Any, B: Any, down_B: Any, across_B: Any, C: Any, down_C: Any,
    rows: Any, inner: Any, columns: Any, add: Any,
) -> Any:  # fmt: skip
    """C = A B, or C += A B. All are addresses, and steps are in entries: A has one from row to row and one along
    a row, so that it may be read transposed; B one from row to row, and one from panel to panel. A row is the
    same whatever others there are."""
    kinds = (*[types.int64] * 11, types.boolean)
    call = linked(_tiles, kinds)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        call(context, builder, args)
        return context.get_dummy_value()

    return types.void(*kinds), generate
