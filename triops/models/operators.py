"""Models combined by operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triops.models.model import Model

__all__ = ["Operators"]

_operators: ContextVar[Mapping[str, Callable[..., Model]] | None] = ContextVar("triops_operators", default=None)


class Operators:
    """The part of `Model` that makes `>>`, `|`, `+` and `**` work."""

    @classmethod
    @contextmanager
    def define_operators(cls, operators: Mapping[str, Callable[..., Model]]) -> Iterator[None]:
        """Other meanings of the operators for a block, as in Thinc; the usual ones need no block."""
        token = _operators.set(operators)
        try:
            yield
        finally:
            _operators.reset(token)

    def __rshift__(self, other: Model) -> Model:
        return self._combine(">>", other)

    def __or__(self, other: Model) -> Model:
        return self._combine("|", other)

    def __add__(self, other: Model) -> Model:
        return self._combine("+", other)

    def __pow__(self, other: int) -> Model:
        return self._combine("**", other)

    def _combine(self, operator: str, other: Any) -> Model:
        from triops.models.combinators import OPERATORS

        return (_operators.get() or {}).get(operator, OPERATORS[operator])(self, other)
