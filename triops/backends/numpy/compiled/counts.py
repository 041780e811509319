"""The smaller and the larger of two integers. Python's `min` and `max` are functions to Numba, which it compiles
for each pair of types and for each number that is written in a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types

from triops.backends.numpy.compiled.jit import intrinsic

__all__ = ["larger", "smaller"]


def _chosen(relation: str) -> Callable[..., Any]:
    @intrinsic
    def chosen(context: Any, one: Any, other: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.select(builder.icmp_signed(relation, *args), *args)

        return types.int64(types.int64, types.int64), generate

    return chosen


smaller = _chosen("<")
larger = _chosen(">")
