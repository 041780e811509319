"""The smaller and the larger of two numbers. Python's `min` and `max` are functions to Numba, which it compiles
for each pair of types and for each number that is written in a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.types.misc import unliteral

from triops.backends.numpy.compiled.jit import intrinsic

__all__ = ["larger", "smaller"]


def _chosen(relation: str) -> Callable[..., Any]:
    """Of two of one type that type, else a whole number. As in Python it is the first where the other is not
    smaller, or not larger; NaN is neither."""

    @intrinsic
    def chosen(context: Any, one: Any, other: Any) -> Any:
        kind = unliteral(one)
        if kind != unliteral(other):
            kind = types.int64

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            one, other = args
            compare = builder.fcmp_ordered if kind in types.real_domain else builder.icmp_signed
            return builder.select(compare(relation, other, one), other, one)

        return kind(kind, kind), generate

    return chosen


smaller = _chosen("<")
larger = _chosen(">")
