"""A model several times over."""

from __future__ import annotations

from operator import index

from triops.errors import ArgumentError
from triops.models.combinators.chain import chain
from triops.models.layers.elementwise import noop
from triops.models.model import Model

__all__ = ["clone"]


def clone(orig: Model, n: int) -> Model:
    """A chain of `n` copies of a layer, each with parameters of its own, the first being the layer itself.
    `f ** n` is `clone(f, n)`. None at all is `noop()`, one is the layer."""
    if isinstance(n, bool) or not hasattr(n, "__index__") or index(n) < 0:
        raise ArgumentError(f"clone: n must be an integer from 0, got {n!r}")
    if n == 0:
        return noop()
    return orig if n == 1 else chain(orig, *(orig.copy() for _ in range(n - 1)))
