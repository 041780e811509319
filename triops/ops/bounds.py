"""What is known of lengths whose values a compiler does not know: the rows they add up to, and a length that none
of them exceeds. Arrays that were filled up with rows of no meaning are known by their number of rows."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from triops.scoped import Scoped

__all__ = ["Bounds", "Part", "bounded", "bounds"]


class Part(NamedTuple):
    """Which part of a batch, traced: the rows and sequences before it, and those of the batch."""

    rows_before: Any
    sequences_before: Any
    all_rows: Any
    all_sequences: Any


class Bounds:
    """Of one batch, whose rows and sequences were filled up to certain numbers. The sequences that were added
    have all the rows that were added.

    lengths: (N,) integers, traced. rows: what they add up to. longest: none exceeds it. real_rows,
    real_sequences: how many are the batch's own, traced. part: where this is a device's part of a batch, that.
    """

    def __init__(
        self,
        lengths: Any,
        rows: int,
        longest: int,
        real_rows: Any,
        real_sequences: Any,
        part: Part | None = None,
    ) -> None:
        self.lengths, self.rows, self._longest = lengths, rows, longest
        self.sequences = lengths.shape[0]
        self.longest_was_used = False
        self._real = {rows: real_rows, self.sequences: real_sequences}
        self._part = part
        self._known: dict[int, tuple[Any, int]] = {id(lengths): (lengths, longest)}

    def longest_of(self, lengths: Any) -> int | None:
        """A length that none of these exceeds, where they are the batch's."""
        found = self._known.get(id(lengths))
        if found is None:
            return None
        self.longest_was_used = True
        return found[1]

    def derive(self, lengths: Any, longest: int | None = None) -> Any:
        """The same lengths in another order, or the same rows in other sequences; returns them."""
        self._known[id(lengths)] = lengths, self._longest if longest is None else longest
        return lengths

    def real(self, count: int) -> Any:
        """How many of that many rows, or sequences, are the batch's own; None where there are other ones."""
        return self._real.get(count)

    def total(self, count: int) -> Any:
        """The same of the batch of which this is a part."""
        return self.real(count) if self._part is None else self._of_part(count, *self._part[2:])

    def first(self, count: int) -> Any:
        """How many rows, or sequences, of the batch come before those of this part; None where it is no part."""
        return None if self._part is None else self._of_part(count, *self._part[:2])

    def _of_part(self, count: int, of_rows: Any, of_sequences: Any) -> Any:
        return {self.rows: of_rows, self.sequences: of_sequences}.get(count)

    def knows(self, lengths: Any) -> bool:
        """Whether these are the batch's lengths."""
        return id(lengths) in self._known


_bounds: Scoped[Bounds | None] = Scoped(None)


def bounds() -> Bounds | None:
    """What is known in this thread now."""
    return _bounds.get()


def bounded(known: Bounds | None) -> AbstractContextManager[None]:
    """Let it be known for a block."""
    return _bounds.during(known)
