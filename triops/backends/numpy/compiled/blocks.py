"""The result of a product in blocks, each with its part of B in panels, which whoever does the block makes: they
are in its own caches then, and a weight is read from memory once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.counts import smaller
from triops.backends.numpy.compiled.jit import called
from triops.backends.numpy.compiled.panels import plain_panels, turned_panels
from triops.backends.numpy.compiled.places import at
from triops.backends.numpy.compiled.tiles import FEW, NARROW, PANEL, tiled

__all__ = [
    "THRESHOLD",
    "block_kernel",
    "in_blocks",
    "one_block_kernel",
    "reads_as_it_lies",
    "times",
    "turned_times",
    "with_steps",
]

THRESHOLD = 3 << 18  # multiplications from which a second thread pays
_AT_A_TIME = 96  # rows, which stay in the nearest caches until what follows the product is done
_COLUMNS, _ROWS = (
    128,
    512,
)  # of a block at most: its panels stay in the second cache, and pay by the rows they meet
_ALIASED = 1024  # entries from row to row of A that make all rows fall on the same places of a cache
_NEAR = 1024  # entries from row to row of B, beyond which it had better be in panels


@called
def times_panels(
    A: Any, down: int, along: int, first: int, end: int, panels: Any, C: int, down_C: int, columns: int
) -> None:
    """C = A B, for some rows of A. C is an address."""
    terms = panels.shape[1]
    tiled(
        at(A, down * first), down, along, at(panels, 0), PANEL, PANEL * terms, C, down_C,
        end - first, terms, columns, False,
    )  # fmt: skip


@called
def times(A: Any, B: Any, C: Any) -> None:
    """C = A B."""
    tiled(
        at(A, 0), A.shape[1], 1, at(B, 0), B.shape[1], PANEL, at(C, 0), C.shape[1], C.shape[0],
        A.shape[1], C.shape[1], False,
    )  # fmt: skip


@called
def turned_times(A: Any, B: Any, C: Any) -> None:
    """C = Aᵀ B."""
    tiled(
        at(A, 0), 1, A.shape[1], at(B, 0), B.shape[1], PANEL, at(C, 0), C.shape[1], C.shape[0],
        A.shape[0], C.shape[1], False,
    )  # fmt: skip


def block_kernel(
    name: str,
    given: str,
    target: tuple[str, str],
    after: list[str],
    names: Mapping[str, Any],
    *,
    before: str = "",
    turned: bool = True,
) -> Kernel:
    """A kernel over blocks of A B, or of A Bᵀ where `turned`, for `in_blocks`.

    given: the arguments after A and B. before: a line that makes what there is to make. target: the address of
    row `first` and column `left`, and how far it is to the next row. after: what follows, line by line, for the
    rows from `first` to `end` and the columns from `left` to `right`.
    """
    lines = [
        f"def kernel(blocks, A, down, along, B, {given}):",
        "    for block in range(blocks.shape[0]):",
        "        top, bottom = blocks[block, 0], blocks[block, 1]",
        "        left, right = blocks[block, 2], blocks[block, 3]",
        *(f"        {line}" for line in _of_block(target, after, before)),
    ]
    names = {**names, **_used(turned=turned)}
    return Kernel((name, "\n".join(lines)), names, {"blocks": 1}, threshold=THRESHOLD, grain=1)


def one_block_kernel(
    name: str,
    given: str,
    target: tuple[str, str],
    after: list[str],
    names: Mapping[str, Any],
    *,
    before: str = "",
) -> Kernel:
    """The same of A Bᵀ for a product that is one block. It returns 1 where it is slow, or left to a BLAS."""
    lines = [
        f"def kernel(A, B, {given}):",
        f"    if A.shape[1] % {_ALIASED} == 0 or refused(A, B):",
        "        return 1",
        "    down, along, top, bottom, left, right = A.shape[1], 1, 0, A.shape[0], 0, B.shape[0]",
        *(f"    {line}" for line in _of_block(target, after, before)),
        "    return 0",
    ]
    names = {"refused": never, **names, **_used(turned=True)}
    return Kernel((f"{name}_few", "\n".join(lines)), names, {}, threshold=THRESHOLD)


@called
def never(A: Any, B: Any) -> bool:
    return False


def _of_block(target: tuple[str, str], after: list[str], before: str) -> list[str]:
    return [
        "panels = panels_of(B, left, right)",
        f"for first in range(top, bottom, {_AT_A_TIME}):",
        f"    end = smaller(first + {_AT_A_TIME}, bottom)",
        f"    {before}",
        f"    times_panels(A, down, along, first, end, panels, {', '.join(target)}, right - left)",
        *(f"    {line}" for line in after),
    ]


def _used(*, turned: bool) -> dict[str, Any]:
    panels_of = turned_panels if turned else plain_panels
    return {"at": at, "smaller": smaller, "times_panels": times_panels, "panels_of": panels_of}


def in_blocks(
    kernel: Kernel, A: Any, B: Any, *rest: Any, columns: int, unit: int = 1, turn_A: bool = False
) -> None:
    """Call a `block_kernel`. A: contiguous, transposed where it is said. B: contiguous. columns: of the result.
    unit: the columns that no block may part."""
    rows = A.shape[1] if turn_A else A.shape[0]
    work = rows * B.size
    blocks = _blocks(rows, columns, unit, work >= THRESHOLD)
    kernel.run(len(blocks), blocks, *with_steps(A, turn_A), B, *rest, slices=len(blocks), size=work)


def with_steps(A: Any, turn: bool) -> tuple[Any, int, int]:
    """A, and how far it is from row to row, and along a row."""
    if turn:
        return A, 1, A.shape[1]
    if A.shape[1] % _ALIASED:
        return A, A.shape[1], 1
    apart = np.empty((len(A), A.shape[1] + PANEL), np.float32)
    apart[:, : A.shape[1]] = A
    return apart, apart.shape[1], 1


def reads_as_it_lies(terms: int, columns: int) -> bool:
    """Whether tiles are fast without copies of any kind, for so many columns of A and B."""
    return terms % _ALIASED != 0 and columns <= _NEAR and not NARROW


@lru_cache(maxsize=256)
def _blocks(rows: int, columns: int, unit: int, several: bool) -> Any:
    """The first row, the row after the last, and the columns likewise, of each block; equal shares for two
    threads or four."""
    tall = wide = 1
    if several:
        step = unit * PANEL
        tall = -(-rows // _ROWS) if rows <= 2 * _ROWS else 4 * -(-rows // (4 * _ROWS))
        wide = -(-columns // (_COLUMNS // step * step or step))
        if (tall * wide) % 4 and columns >= 4 * step:
            wide = 4 * -(-wide // 4)
        elif (tall * wide) % 4:
            tall = 4 * -(-tall // 4)
    tops, lefts = _shares(rows, tall, FEW), _shares(columns, wide, unit * PANEL)
    blocks = [(*down, *across) for across in lefts for down in tops]
    return np.array(blocks, np.int64).reshape(-1, 4)


def _shares(count: int, parts: int, unit: int) -> list[tuple[int, int]]:
    units = -(-count // unit)
    ends = [min(unit * (part * units // parts), count) for part in range(parts + 1)]
    return [(first, end) for first, end in pairwise(ends) if first < end]
