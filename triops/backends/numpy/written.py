"""Functions whose source is written by the program: to pass on whatever arguments come costs a call as much as a
small kernel takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["head_and_call", "written"]


def written(source: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    """The one function that a source text defines, over `names`."""
    namespace: dict[str, Any] = {}
    exec(compile(source, __file__, "exec", dont_inherit=True), dict(names), namespace)
    (function,) = namespace.values()
    return function  # type: ignore[no-any-return]


def head_and_call(function: Callable[..., Any]) -> tuple[str, str]:
    """A function's parameters, as they are declared and as they are passed on."""
    parameters = inspect.signature(function).parameters.values()
    places = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    settings = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    head = [*places, *(["*", *settings] if settings else [])]
    return ", ".join(head), ", ".join([*places, *(f"{name}={name}" for name in settings)])
