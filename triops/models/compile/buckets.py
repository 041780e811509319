"""The few numbers that those of rows, of sequences, and of the longest one's rows are rounded up to."""

from __future__ import annotations

__all__ = ["round_up_longest", "round_up_rows", "round_up_sequences"]


def round_up_rows(count: int) -> int:
    """Eight steps to each power of two: rows are what costs, at most an eighth is added."""
    return _round_up(max(count, 8), 3)


def round_up_sequences(count: int) -> int:
    """Two steps to each power of two."""
    return _round_up(max(count, 2), 1)


def round_up_longest(count: int) -> int:
    """A power of two."""
    return _round_up(max(count, 1), 0)


def _round_up(count: int, steps: int) -> int:
    step = 1 << max((count - 1).bit_length() - 1 - steps, 0)
    return -(-count // step) * step
