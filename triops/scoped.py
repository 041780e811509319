"""A value that each thread has for the length of a block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

__all__ = ["Scoped"]

T = TypeVar("T")


class Scoped(Generic[T]):
    """`get()` gives the innermost value that a block of this thread has set, else the one for all."""

    def __init__(self, value: T) -> None:
        self._for_all, self._local = value, threading.local()

    def get(self) -> T:
        """The value now."""
        value: T = getattr(self._local, "value", self._for_all)
        return value

    def set(self, value: T) -> None:
        """Another value, up to the end of the block."""
        self._local.value = value

    @contextmanager
    def during(self, value: T) -> Iterator[None]:
        """This value in the block, and the one before after it."""
        before = self.get()
        self.set(value)
        try:
            yield
        finally:
            self.set(before)
