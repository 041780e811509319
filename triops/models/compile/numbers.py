"""Numbers of a model's state that a program takes anew in each call."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

__all__ = ["Counter"]


class Counter:
    """A whole number of a layer's state while its program is traced: `value` stands for what it will be, `added`
    says what the layer has added to it, which the host can do as well. Anything but adding makes an array of
    it."""

    def __init__(self, value: Any, added: int = 0) -> None:
        self._value, self.added = value, added

    def __jax_array__(self) -> Any:
        return self._value + self.added

    def astype(self, dtype: Any) -> Any:
        """The number as an array of no dimension."""
        return self.__jax_array__().astype(dtype)

    def __add__(self, other: Any) -> Any:
        if type(other) is int:
            return Counter(self._value, self.added + other)
        return self.__jax_array__() + other

    def __sub__(self, other: Any) -> Any:
        return self + -other if type(other) is int else self.__jax_array__() - other

    __radd__ = __add__


def _as_array(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *others: function(self.__jax_array__(), *others)


def _turned(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: function(other, self.__jax_array__())


for _name in ("mul", "truediv", "floordiv", "mod", "pow", "neg", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Counter, f"__{_name}__", _as_array(getattr(operator, _name)))
for _name in ("sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(Counter, f"__r{_name}__", _turned(getattr(operator, _name)))
