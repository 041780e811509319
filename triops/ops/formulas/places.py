"""Where the rows of sequences go when they are put side by side, or packed by step, as arrays of a compiler that
does not know the lengths: what `triops.backends.host` computes from known ones."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.segments import ends_of, segments_of

__all__ = ["packed_places", "padded_places", "unpadded_places"]


def padded_places(xp: Any, lengths: Any, rows: int, longest: int, order: Any = None) -> tuple[Any, Any, Any, Any]:
    """The order of the sequences, the longest first, of equals the last first, where none is given; how many are
    longer than each step; their lengths in that order; and (L, N) rows to take, `rows` where there is none."""
    counts = lengths.astype("int32")
    if order is None:
        order = xp.lexsort((xp.arange(counts.shape[0], dtype="int32"), counts))[::-1]
    falling = counts[order]
    steps = xp.arange(longest, dtype="int32")[:, None]
    starts = (ends_of(xp, counts) - counts)[order]
    there = steps < falling
    return order.astype("int32"), _count(xp, there), falling, xp.where(there, starts + steps, rows)


def unpadded_places(xp: Any, lengths: Any, indices: Any, rows: int) -> tuple[Any, Any]:
    """The lengths in the order that `indices` tells, and which rows of (L N) to take."""
    columns = xp.argsort(indices)
    counts = lengths.astype("int32")[columns]
    sequence, step = _steps(xp, counts, rows)
    return counts, step * counts.shape[0] + columns[sequence]


def packed_places(xp: Any, lengths: Any, rows: int, longest: int) -> tuple[Any, Any, Any]:
    """How many sequences there are at each step, the row that each packed row is, and the packed row that each
    row is."""
    counts = lengths.astype("int32")
    rank = xp.argsort(xp.argsort(-counts, stable=True))
    sizes = _count(xp, xp.arange(longest, dtype="int32")[:, None] < counts)
    sequence, step = _steps(xp, counts, rows)
    back = (xp.cumsum(sizes, dtype="int32") - sizes)[step] + rank[sequence]
    return sizes, xp.argsort(back).astype("int32"), back.astype("int32")


def _steps(xp: Any, counts: Any, rows: int) -> tuple[Any, Any]:
    """The sequence of each row, and its place in there."""
    sequence = xp.clip(segments_of(xp, counts, rows), 0, counts.shape[0] - 1)
    return sequence, xp.arange(rows, dtype="int32") - (ends_of(xp, counts) - counts)[sequence]


def _count(xp: Any, there: Any) -> Any:
    return there.astype("int32").sum(axis=1).astype("int32")
