"""Keras on TensorFlow: a layer as a tf.function under a gradient tape."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

from triops.models.wrappers.keras_layers import set_streams
from triops.models.wrappers.tensorflow_passes import run
from triops.models.wrappers.wrapper import map_leaves

__all__ = ["Engine"]


class Engine:
    """The passes of one Keras layer."""

    def __init__(self, module: Any, bridge: Any) -> None:
        self.module, self._device = module, bridge.device
        self._compiled = tf.function(self._call, reduce_retracing=True)

    def recording(self, on: bool) -> AbstractContextManager[Any]:
        """TensorFlow is on the device of the arrays."""
        device: AbstractContextManager[Any] = tf.device(self._device)
        return device

    def run(
        self, X: Any, drop: float | None, seed: int, check: Callable[[Any], Any]
    ) -> tuple[Any, Callable[[Any], tuple[Any, dict[int, Any]]]]:
        """The outputs, and from their gradients those of X and of the variables by `id`. The rates of dropout are
        set."""
        kept = self.module.non_trainable_variables
        for variable, stream in zip(kept, set_streams(kept, seed), strict=True):
            if stream is not None:
                variable.assign(stream)
        trained = {id(variable): variable.value for variable in self.module.trainable_variables}
        Y, backward = run(lambda X: self._compiled(X, drop), X, list(trained.values()), drop is not None)
        map_leaves(check, Y)

        def pull_back(dY: Any) -> tuple[Any, dict[int, Any]]:
            dX, gradients = backward(dY)
            found = zip(trained, gradients, strict=True)
            return dX, {of: gradient for of, gradient in found if gradient is not None}

        return Y, pull_back

    def _call(self, X: Any, drop: float | None) -> Any:
        # The rate is an argument so that there is a graph for each.
        return self.module(X, training=drop is not None)
