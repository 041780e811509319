"""A forward and a backward pass of a pure function in JAX, each compiled as one XLA program for every shape."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from triops.models.wrappers.wrapper import leaves_like, map_leaves, tree_leaves

__all__ = ["Fixed", "Pass", "Program", "is_float"]

PullBack = Callable[[Any], tuple[Any, Any]]
_FLOAT64 = np.dtype("float64")


@jax.tree_util.register_static
@dataclass(frozen=True)
class Fixed:
    """A setting that is compiled in, rather than an argument of the program."""

    value: Any


class Pass(NamedTuple):
    """What differs from one pass to the next. drop: a rate, traced or Fixed, or None to predict. seed: uint32."""

    drop: Any
    seed: Any


class Program:
    """A function `call(params, state, X, Pass) -> (Y, state)` that depends on nothing else, so that one compiled
    form serves it for good."""

    def __init__(self, call: Callable[[Any, Any, Any, Pass], tuple[Any, Any]]) -> None:
        self._call = call
        # Compiled here and not once for all programs, so that what was compiled goes with the program.
        self._forward = jax.jit(self._recorded, static_argnums=(0, 1))
        self._predict = jax.jit(self._function, static_argnums=(0, 1))
        self._backward = jax.jit(lambda vjp, dY: vjp(dY))

    def run(self, params: Any, state: Any, X: Any, settings: Pass) -> tuple[Any, Any, PullBack]:
        """Y, the new state, and the function that takes gradients like Y, with None for no gradient, to those
        like the parameters, and those like X. Where `settings.drop` is None nothing is recorded."""
        leaves, tree = jax.tree.flatten(X)
        kinds = tuple(map(is_float, leaves))
        floats = [leaf for leaf, floating in zip(leaves, kinds, strict=True) if floating]
        others = [leaf for leaf, floating in zip(leaves, kinds, strict=True) if not floating]
        wide = any(leaf.dtype == _FLOAT64 for leaf in [*floats, *jax.tree.leaves(params)])
        arguments = (tree, kinds, params, floats, others, state, settings)
        with _digits(wide):
            if settings.drop is None:
                (Y, new_state), vjp = self._predict(*arguments)[1], None
            else:
                Y, new_state, vjp = self._forward(*arguments)
        form, which = map_leaves(_form, Y), map_leaves(is_float, X)

        def pull_back(dY: Any) -> tuple[Any, Any]:
            each = zip(tree_leaves(form), leaves_like(form, dY), strict=True)
            given = [np.zeros(y.shape, y.dtype) if dy is None else dy for y, dy in each if is_float(y)]
            with _digits(wide):
                gradients, dX = self._backward(vjp, given)
            of_floats = iter(dX)
            return gradients, map_leaves(lambda floating: next(of_floats) if floating else None, which)

        return Y, new_state, pull_back

    def _function(
        self, tree: Any, kinds: Any, params: Any, floats: Any, others: Any, state: Any, settings: Pass
    ) -> tuple[list[Any], tuple[Any, Any]]:
        floating, rest = iter(floats), iter(others)
        X = jax.tree.unflatten(tree, [next(floating if kind else rest) for kind in kinds])
        Y, new_state = self._call(params, state, X, settings)
        return [leaf for leaf in jax.tree.leaves(Y) if is_float(leaf)], (Y, new_state)

    def _recorded(
        self, tree: Any, kinds: Any, params: Any, floats: Any, others: Any, state: Any, settings: Pass
    ) -> tuple[Any, Any, Any]:
        def function(params: Any, floats: Any) -> Any:
            return self._function(tree, kinds, params, floats, others, state, settings)

        _, vjp, (Y, new_state) = jax.vjp(function, params, floats, has_aux=True)
        return Y, new_state, vjp

    def __deepcopy__(self, memo: Any) -> Program:
        return self


def _digits(wide: bool) -> AbstractContextManager[Any]:
    # Without it a Python number in the function is float32 to JAX, and would cost half the digits.
    return jax.enable_x64(True) if wide else nullcontext()


def _form(y: Any) -> Any:
    return jax.ShapeDtypeStruct(y.shape, y.dtype) if hasattr(y, "dtype") else y


def is_float(leaf: Any) -> bool:
    """Whether something is a floating array, or like one."""
    return hasattr(leaf, "dtype") and bool(jnp.issubdtype(leaf.dtype, jnp.floating))
