"""The few numbers that those of rows, of sequences, and of the longest one's rows are filled up to."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Part", "Size", "Sizes"]

_FEW = 6


class Part(NamedTuple):
    """What a device has of a batch."""

    rows: int
    sequences: int


class Size(NamedTuple):
    """What parts are filled up to, and a length that none exceeds."""

    rows: int
    sequences: int
    longest: int

    def takes(self, parts: Sequence[Part], longest: int) -> bool:
        """Whether sequences of a row or more can fill each part up, none longer than this."""
        return longest <= self.longest and 1 <= self.longest_added(parts) <= self.longest

    def longest_added(self, parts: Sequence[Part]) -> int:
        """How long the sequences are that fill the parts up; 0 where there are none of a row or more."""
        lengths = []
        for part in parts:
            rows, sequences = self.rows - part.rows, self.sequences - part.sequences
            if not 1 <= sequences <= rows:
                return 0
            lengths.append(-(-rows // sequences))
        return max(lengths)


class Sizes:
    """The sizes so far. The first of its kind is a close fit, since batches often are all alike; where others
    turn out not to fit into it they get steps of some width, so that there are few, and wider ones once there are
    several."""

    def __init__(self) -> None:
        self._known: list[Size] = []
        self._lock = threading.Lock()

    def of(self, parts: Sequence[Part], longest: int) -> Size:
        """A size for these parts. longest: the rows of the longest sequence, 0 where they do not matter."""
        most = Part(max(part.rows for part in parts), max(part.sequences for part in parts))
        with self._lock:
            near = [size for size in self._known if _is_near(size, most, longest)]
            close = [size for size in near if len(self._known) >= _FEW or _is_close(size, most)]
            fitting = [
                size
                for size in close
                if (size if longest else size._replace(longest=size.rows)).takes(parts, longest or 1)
            ]
            if fitting:
                return min(fitting)
            size = _wider(near, parts, most, longest) if near else _close(parts, most, longest)
            if size not in self._known:
                self._known.append(size)
            return size


def _is_close(size: Size, most: Part) -> bool:
    """Whether it would waste so little that no other is worth a program."""
    return size.rows <= 1.1 * most.rows + 8


def _is_near(size: Size, most: Part, longest: int) -> bool:
    """Whether it is worth having some of its numbers, and not much larger nor smaller."""
    return (
        0.75 * most.rows <= size.rows <= 1.2 * most.rows + 8
        and 0.6 * most.sequences <= size.sequences <= 1.6 * most.sequences + 4
        and (not longest or 0.5 * longest <= size.longest <= 2 * longest + 2)
    )


def _close(parts: Sequence[Part], most: Part, longest: int) -> Size:
    sequences = _least_sequences(most, longest)
    rows = _round_up(_least_rows(parts, sequences), 5)
    return Size(rows, sequences, _round_up(_least_longest(parts, rows, sequences, longest), 3))


def _wider(near: Sequence[Size], parts: Sequence[Part], most: Part, longest: int) -> Size:
    """With the numbers of sizes that are near, where they are enough: there are fewer combinations so."""
    # Where the longest does not matter sequences cost next to nothing: with room for more of them there are fewer
    # numbers of them.
    room = 0 if longest else most.sequences // 8
    sequences = _enough(_least_sequences(most, longest), [size.sequences for size in near], 2, room)
    steps = _enough(longest, [size.longest for size in near], 1)
    for rows in sorted(size.rows for size in near):
        size = Size(rows, sequences, steps)
        if rows != sequences and _is_close(size, most) and size.takes(parts, longest):
            return size
    rows = _round_up(_least_rows(parts, sequences), 4)
    return Size(rows, sequences, _round_up(_least_longest(parts, rows, sequences, steps), 1))


def _enough(count: int, known: Sequence[int], steps: int, room: int = 0) -> int:
    return min((number for number in known if number >= count), default=_round_up(count + room, steps))


def _least_sequences(most: Part, longest: int) -> int:
    # Enough for a sixteenth of the rows: that many fewer will fit in as well.
    return most.sequences + 1 + (most.rows // (16 * longest) if longest else 0)


def _least_rows(parts: Sequence[Part], sequences: int) -> int:
    # Outputs are told apart by the number of rows and that of sequences.
    return max(sequences + 1, *(part.rows + sequences - part.sequences for part in parts))


def _least_longest(parts: Sequence[Part], rows: int, sequences: int, longest: int) -> int:
    return max(longest, Size(rows, sequences, 0).longest_added(parts))


def _round_up(count: int, steps: int) -> int:
    """To one of so many powers of two of steps between a power of two and the next."""
    step = 1 << max((count - 1).bit_length() - 1 - steps, 0)
    return -(-count // step) * step
