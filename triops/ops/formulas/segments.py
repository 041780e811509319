"""Which rows belong to which sequence, where the sequences lie one after another."""

from __future__ import annotations

from typing import Any

__all__ = ["ends_of", "rows_at", "segments_of", "shifted", "sum_type"]


def ends_of(xp: Any, lengths: Any) -> Any:
    """The row after each sequence's last."""
    return xp.cumsum(lengths.astype("int32"), dtype="int32")


def segments_of(xp: Any, lengths: Any, rows: int) -> Any:
    """The number of the sequence that each row belongs to; that of no sequence for rows after the last."""
    return xp.searchsorted(ends_of(xp, lengths), xp.arange(rows, dtype="int32"), side="right")


def rows_at(xp: Any, values: Any, places: Any) -> Any:
    """values[places], or any rows of its shape where a place is out of range: the caller masks them."""
    if values.shape[0] == 0:
        return xp.zeros((places.shape[0], *values.shape[1:]), dtype=values.dtype)
    return xp.take(values, xp.clip(places, 0, values.shape[0] - 1), axis=0)


def shifted(xp: Any, values: Any, by: int) -> Any:
    """values[t + by], and 0 where there is no such row."""
    rows = values.shape[0]
    by = max(-rows, min(by, rows))
    gap = xp.zeros((abs(by), *values.shape[1:]), dtype=values.dtype)
    return xp.concatenate((values[by:], gap) if by > 0 else (gap, values[: rows + by]))


def sum_type(dtype: Any) -> Any:
    """The dtype to add up in: half precision would stop growing after some hundred rows."""
    return "float32" if dtype.itemsize < 4 else dtype
