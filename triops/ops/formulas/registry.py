"""The table of formulas by op name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["FORMULAS", "formula"]

FORMULAS: dict[str, Callable[..., Any]] = {}

F = TypeVar("F", bound=Callable[..., Any])


def formula(function: F) -> F:
    """Enter a function into the table under its own name."""
    FORMULAS[function.__name__] = function
    return function
