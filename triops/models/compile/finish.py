"""The update that ends a pass, as one program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from triops.models.compile.batches import Batch
from triops.models.compile.fused import FusedStep
from triops.models.compile.precision import Precision
from triops.models.compile.programs import Programs
from triops.models.compile.update import fits_programs
from triops.models.model import Model

__all__ = ["FusedUpdates"]


class FusedUpdates:
    """Updates of a model by the gradients that it has: steps whose pass finds nothing more."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._programs = Programs(model, fill=False)
        self._latest: FusedStep | None = None

    def takes(self, optimizer: Any) -> bool:
        """Whether it can do what `Model.finish_update` would; not so where that has an error to raise."""
        if self._model.ops.backend.compiler is None or not fits_programs(optimizer):
            return False
        gradients = []
        for node in self._model.walk():
            if node.untraceable or type(node).gradients_for is not Model.gradients_for:
                return False
            gradients += [(node._params.get(name), gradient) for name, gradient in node._grads.items()]
        owns = self._model.ops.backend.owns
        return bool(gradients) and all(
            W is not None and owns(dW) and dW.shape == W.shape and dW.dtype == W.dtype and W.size
            for W, dW in gradients
        )

    def __call__(self, optimizer: Any) -> None:
        """Make the update."""
        ops = self._model.ops
        if self._latest is None or self._latest.optimizer is not optimizer:
            nothing_more: Callable[..., Any] = lambda *batch: ops.alloc(())  # noqa: E731
            self._latest = FusedStep(
                self._programs, optimizer, Precision("finish_update", None, ops), nothing_more, keeps_weights=True
            )
        self._latest.run_batch(self._programs.inventory.settings(), Batch(ops, None), None)
