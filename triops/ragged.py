"""Batches of sequences of unequal lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from triops.errors import DTypeError, ShapeError, UnknownLengths
from triops.types import Array, Ints1d

__all__ = ["Joined", "Padded", "Ragged"]


@dataclass(frozen=True)
class Ragged:
    """Sequences one after another.

    data: (T, ...), the rows. lengths: (N,) integers that add up to T. Raises DTypeError for other kinds of
    arrays, and ShapeError for other ranks; the values of lengths are checked by the ops that read them.
    """

    data: Array
    lengths: Ints1d

    def __post_init__(self) -> None:
        _at_least("Ragged", "data", self.data, 1)
        _counts("Ragged", "lengths", self.lengths)
        if self.lengths.shape[0] == 0 and self.data.shape[0]:
            raise ShapeError(f"Ragged: lengths must add up to the rows of data, {self.data.shape[0]}, got none")

    def __len__(self) -> int:
        return self.lengths.shape[0]


@dataclass(frozen=True)
class Padded:
    """Sequences side by side, the longest first, with zeros after the end of the shorter ones.

    data: (L, N, ...), step t of every sequence at data[t]. size_at_t: (L,) integers, how many sequences are
    longer than t. lengths: (N,) integers, falling. indices: (N,) integers, where each sequence was before the
    sorting. Raises DTypeError for other kinds of arrays, and ShapeError for shapes that do not fit each other.
    """

    data: Array
    size_at_t: Ints1d
    lengths: Ints1d
    indices: Ints1d

    def __post_init__(self) -> None:
        _at_least("Padded", "data", self.data, 2)
        steps, count = self.data.shape[:2]
        for name, extent in (("size_at_t", steps), ("lengths", count), ("indices", count)):
            array = getattr(self, name)
            _counts("Padded", name, array)
            if array.shape[0] != extent:
                raise ShapeError(
                    f"Padded: {name} must have shape {(extent,)} (data is {tuple(self.data.shape)}), got "
                    f"{tuple(array.shape)}"
                )

    def __len__(self) -> int:
        return self.lengths.shape[0]


class Joined(list[Any]):
    """A list of arrays whose lengths are not known, as while compiling: as its rows one after another.

    data: (T, ...). lengths: (N,) integers that add up to T. Asked for an item it raises UnknownLengths.
    """

    def __init__(self, data: Array, lengths: Ints1d) -> None:
        super().__init__()
        self.data, self.lengths = data, lengths

    def __len__(self) -> int:
        return self.lengths.shape[0]

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[Any]:
        self._refuse()

    def __getitem__(self, index: Any) -> Any:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnknownLengths("the arrays of a list are not known apart while compiling")


def _at_least(kind: str, name: str, array: Array, ndim: int) -> None:
    if _rank(kind, name, array) < ndim:
        raise ShapeError(
            f"{kind}: {name} must have {ndim} dimension{'s' * (ndim != 1)} or more, got shape "
            f"{tuple(array.shape)}"
        )


def _counts(kind: str, name: str, array: Array) -> None:
    if _rank(kind, name, array) != 1:
        raise ShapeError(f"{kind}: {name} must have 1 dimension, got shape {tuple(array.shape)}")
    if array.dtype.kind not in "iu":
        raise DTypeError(
            f"{kind}: {name} must be integers, got {array.dtype}: convert it with ops.asarray({name}, "
            f"dtype='int32')"
        )


def _rank(kind: str, name: str, array: Array) -> int:
    try:
        return array.ndim
    except AttributeError:
        raise DTypeError(
            f"{kind}: {name} must be an array, got {type(array).__name__}: convert it with ops.asarray(...)"
        ) from None
