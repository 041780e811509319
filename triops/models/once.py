"""Whether a backward pass runs once, as it does in a train step, and may let go of what it has used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

__all__ = ["from_the_last", "once", "runs_once"]

T = TypeVar("T")
_once: ContextVar[bool] = ContextVar("_once", default=False)


@contextmanager
def once() -> Iterator[None]:
    """Forward passes in this block are each followed by one backward pass at most."""
    token = _once.set(True)
    try:
        yield
    finally:
        _once.reset(token)


def runs_once() -> bool:
    """Whether this is such a forward pass."""
    return _once.get()


def from_the_last(items: list[T], let_go: bool) -> Iterator[T]:
    """The items in reverse, each taken off the list first where it is to be let go."""
    if not let_go:
        yield from reversed(items)
        return
    while items:
        yield items.pop()
