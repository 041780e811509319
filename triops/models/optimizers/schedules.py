"""Numbers that change from update to update."""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator
from numbers import Real
from typing import Any

from triops.errors import ArgumentError
from triops.types import Schedule

__all__ = ["Constant", "as_schedule"]

_BELOW_ONE = ("beta1", "beta2")


def as_schedule(name: str, value: Schedule) -> Callable[[int], float]:
    """A number, a callable of the number of updates so far (optax's schedules), or an iterable of one number
    an update (Thinc's), as a function of the number of updates so far. An iterable that ends stays at its
    last number."""
    if isinstance(value, Real) or getattr(value, "ndim", None) == 0:
        return Constant(_checked(name, value))
    if callable(value):
        return _Function(name, value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
        return _Series(name, value)
    raise ArgumentError(
        f"{name} must be a number, a callable of the step, or an iterable of numbers, got {type(value).__name__}"
    )


class Constant:
    """The same number at every step."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __call__(self, step: int) -> float:
        return self._value


class _Function:
    """A callable of the step, whose numbers are checked."""

    def __init__(self, name: str, function: Callable[[int], Any]) -> None:
        self._name, self._function = name, function

    def __call__(self, step: int) -> float:
        return _checked(self._name, self._function(step))


class _Series:
    """An iterable by position. What was drawn is kept, so that every parameter sees the same series."""

    def __init__(self, name: str, values: Iterable[Any]) -> None:
        self._name = name
        self._rest: Iterator[Any] = iter(values)
        self._drawn = array("d")
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        if isinstance(self._rest, Generator):
            raise ArgumentError(
                f"{self._name}: the schedule is a generator, which can be neither copied nor pickled: give a "
                f"list, or a callable of the step"
            )
        with self._lock:
            return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __call__(self, step: int) -> float:
        with self._lock:
            while len(self._drawn) <= step:
                try:
                    self._drawn.append(_checked(self._name, next(self._rest)))
                except StopIteration:
                    break
        if not self._drawn:
            raise ArgumentError(f"{self._name}: the schedule is empty: give it at least one number")
        return self._drawn[min(step, len(self._drawn) - 1)]


def _checked(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} must be a number at every step, got {value!r}") from error
    if not math.isfinite(number) or number < 0:
        raise ArgumentError(f"{name} must be a finite number from 0, got {number}")
    if name in _BELOW_ONE and number >= 1:
        raise ArgumentError(f"{name} must be below 1, got {number}")
    return number
