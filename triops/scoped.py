"""A value that each thread has for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

__all__ = ["Scoped"]

T = TypeVar("T")


class Scoped(Generic[T]):
    """`get()` gives the innermost value that a block of this thread or task has set, else the one for all;
    `set(value)` gives another up to the end of the block."""

    def __init__(self, value: T) -> None:
        variable = ContextVar("value", default=value)
        # The variable's own: layers ask so often that a call in between would count.
        self.get, self.set = variable.get, variable.set

    @contextmanager
    def during(self, value: T) -> Iterator[None]:
        """This value in the block, and the one before after it."""
        before = self.get()
        self.set(value)
        try:
            yield
        finally:
            self.set(before)
