"""Keras on JAX: a layer as a pure function of its variables, compiled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from triops.models.wrappers.jax_passes import Fixed, Pass, Program
from triops.models.wrappers.keras_layers import set_streams
from triops.models.wrappers.wrapper import map_leaves

__all__ = ["Engine"]


class Engine:
    """The passes of one Keras layer."""

    def __init__(self, module: Any, bridge: Any) -> None:
        self.module = module
        self._program = Program(self._call)

    def recording(self, on: bool) -> AbstractContextManager[Any]:
        """Nothing around a pass."""
        return nullcontext()

    def run(
        self, X: Any, drop: float | None, seed: int, check: Callable[[Any], Any], params: Any = None
    ) -> tuple[Any, Callable[[Any], tuple[Any, dict[int, Any]]]]:
        """The outputs, and from their gradients those of X and of the variables by `id`. The rates of dropout are
        set. params: other values for the trainable variables."""
        trained, kept = self.module.trainable_variables, self.module.non_trainable_variables
        streams = set_streams(kept, seed)
        params = params or [variable.value for variable in trained]
        state = [v.value if stream is None else stream for v, stream in zip(kept, streams, strict=True)]
        settings = Pass(None if drop is None else Fixed(drop), np.uint32(0))
        Y, new_state, backward = self._program.run(params, state, X, settings)
        map_leaves(check, Y)
        if drop is not None:
            for variable, stream, value in zip(kept, streams, new_state, strict=True):
                if stream is None:
                    variable.assign(value)

        def pull_back(dY: Any) -> tuple[Any, dict[int, Any]]:
            gradients, dX = backward(dY)
            return dX, {id(variable): gradient for variable, gradient in zip(trained, gradients, strict=True)}

        return Y, pull_back

    def _call(self, params: Any, state: Any, X: Any, settings: Pass) -> tuple[Any, Any]:
        trained, kept = self.module.trainable_variables, self.module.non_trainable_variables
        mapping = [*zip(trained, params, strict=True), *zip(kept, state, strict=True)]
        # Not stateless_call, which leaves out what Layer.__call__ tells the layers inside of training.
        with keras.StatelessScope(state_mapping=mapping) as scope:
            Y = self.module(X, training=settings.drop is not None)
        return Y, [scope.get_current_value(variable) for variable in kept]
