"""An Equinox module as a pure function of its floating arrays."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax

from triops.models.wrappers.jax_functions import Functional, apply, named
from triops.models.wrappers.jax_passes import Pass, Program

__all__ = ["functional"]


def functional(module: Any, vmap: bool) -> Functional:
    """The module predicts in inference mode; what is in that mode stays so in training."""
    values = named(module)

    def call(arrays: Any, state: Any, X: Any, settings: Pass) -> tuple[Any, Any]:
        current = values.rebuild(arrays)
        if settings.drop is None:
            current = eqx.nn.inference_mode(current)
        elif settings.drop.value > 0:
            current = _with_rate(current, settings.drop.value)
        return apply(current, type(module).__call__, X, settings, vmap), state

    def rebuild(arrays: Any, state: Any) -> Any:
        return values.rebuild(arrays)

    return Functional(Program(call), values.arrays, {}, rebuild, fixed=True, label=type(module).__name__)


def _with_rate(module: Any, drop: float) -> Any:
    def is_dropout(inner: Any) -> bool:
        return isinstance(inner, eqx.nn.Dropout)

    def replaced(inner: Any) -> Any:
        return eqx.tree_at(lambda dropout: dropout.p, inner, drop) if is_dropout(inner) else inner

    return jax.tree.map(replaced, module, is_leaf=is_dropout)
