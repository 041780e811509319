"""Keras on PyTorch: a layer is a torch module, run eagerly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from triops.models.wrappers.keras_layers import set_streams
from triops.models.wrappers.torch_passes import draws_from, recording
from triops.models.wrappers.wrapper import leaves_like, map_leaves, tree_leaves

__all__ = ["Engine"]


class Engine:
    """The passes of one Keras layer."""

    def __init__(self, module: Any, bridge: Any) -> None:
        self.module, self._device = module, bridge.device

    def recording(self, on: bool) -> AbstractContextManager[Any]:
        """Autograd on or off."""
        return recording(on)

    def run(
        self, X: Any, drop: float | None, seed: int, check: Callable[[Any], Any]
    ) -> tuple[Any, Callable[[Any], tuple[Any, dict[int, Any]]]]:
        """The outputs, and from their gradients those of X and of the variables by `id`. The rates of dropout are
        set."""
        kept = self.module.non_trainable_variables
        for variable, stream in zip(kept, set_streams(kept, seed), strict=True):
            if stream is not None:
                variable.assign(stream)
        inputs = [x for x in tree_leaves(X) if x.is_floating_point()]
        for x in inputs if drop is not None else ():
            x.requires_grad_()
        # Layers without a seed of their own draw from torch's generator.
        with draws_from(self._device, seed):
            outputs = map_leaves(check, self.module(X, training=drop is not None))
        trained = self.module.trainable_variables
        floating = map_leaves(lambda x: x.is_floating_point(), X)

        def pull_back(dY: Any) -> tuple[Any, dict[int, Any]]:
            pairs = [
                (y, dy)
                for y, dy in zip(tree_leaves(outputs), leaves_like(outputs, dY), strict=True)
                if dy is not None and y.requires_grad
            ]
            sources = [*inputs, *(variable.value for variable in trained)]
            found = [None] * len(sources)
            if pairs:
                ys, dys = zip(*pairs, strict=True)
                found = list(torch.autograd.grad(ys, sources, dys, allow_unused=True))
            given = iter(
                torch.zeros_like(x, requires_grad=False) if dx is None else dx
                for x, dx in zip(inputs, found, strict=False)
            )
            dX = map_leaves(lambda kind: next(given) if kind else None, floating)
            gradients = zip(map(id, trained), found[len(inputs) :], strict=True)
            return dX, {of: gradient for of, gradient in gradients if gradient is not None}

        return map_leaves(lambda y: y.detach(), outputs), pull_back
