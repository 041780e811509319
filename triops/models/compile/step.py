"""A train step: forward, loss, backward and update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from triops.backends.compiler import Program
from triops.models.compile.forms import put_together, signature, take_apart
from triops.models.compile.fused import FusedStep
from triops.models.compile.inventory import Changes, Settings, Trace
from triops.models.compile.model import CompiledModel
from triops.models.compile.programs import Programs, dropping, parts, rate_of, told
from triops.models.compile.update import fits_programs
from triops.models.guard import check_owner, located
from triops.models.losses.categorical import SequenceCategoricalCrossentropy
from triops.models.model import Model
from triops.ops import Ops
from triops.ragged import Padded, Ragged
from triops.types import ParamKey

__all__ = ["CompiledStep"]


class _Gradients(NamedTuple):
    """A program of a pass, whose gradients it returns, and what it does to state."""

    program: Program
    keys: list[ParamKey]
    changes: Changes


class CompiledStep:
    """See `triops.compile_step`."""

    def __init__(self, model: Model, loss: Callable[..., tuple[Any, Any]], optimizer: Any) -> None:
        self.model = model._model if isinstance(model, CompiledModel) else model
        self.loss, self.optimizer = loss, optimizer
        self._programs = Programs(self.model)
        self._fused: FusedStep | None = None
        if self.model.ops.backend.compiler is not None and fits_programs(optimizer):
            self._fused = FusedStep(self._programs, optimizer, self._pass)

    @property
    def compilations(self) -> int:
        """How many programs were compiled so far."""
        return self._programs.compilations

    def __call__(self, X: Any, truths: Any, drop: float | None = 0.0) -> Any:
        """Update the model by the gradients of a batch, and those that were added up before; returns the loss, a
        scalar of the backend, which `float(loss)` waits for."""
        truths = self._checked(X, truths)
        if self._fused is not None:
            with located(self.model):
                return self._fused(X, truths, drop)
        loss = self._add(X, truths, drop)
        self.model.finish_update(self.optimizer)
        return loss

    def accumulate(self, X: Any, truths: Any, drop: float | None = 0.0) -> Any:
        """Add the gradients of a batch to the model's, for the next update; returns the loss."""
        return self._add(X, self._checked(X, truths), drop)

    def _checked(self, X: Any, truths: Any) -> Any:
        with located(self.model):
            check_owner(self.model, "X", X)
        prepare = getattr(self.loss, "prepared", None)
        return truths if prepare is None else prepare(self.model.ops, truths, self.model.maybe_get_dim("nO"))

    def _pass(self, X: Any, truths: Any, drop: float | None) -> Any:
        """Forward, loss and backward; returns the loss."""
        # Nobody asks for the gradient of X here: XLA leaves out what is computed for it alone.
        Y, backprop = self.model.begin_update(X, drop)
        dY, loss = _over_rows(self.model.ops, self.loss, Y, truths)
        backprop(dY)
        return loss

    def _add(self, X: Any, truths: Any, drop: float | None) -> Any:
        ops = self.model.ops
        if ops.backend.compiler is None:
            return self._pass(X, truths, drop)
        settings = self._programs.inventory.settings()
        batch, form = take_apart(ops, (X, truths))
        arrays = [*settings.params(), *settings.states(), rate_of(ops, drop), settings.counts(), *batch]
        key = "gradients", form, signature(arrays), dropping(drop)
        with located(self.model):
            made = self._programs.get(
                key, settings, told(batch), lambda: self._gradients(settings, arrays, form, drop)
            )
            loss, *rest = made.program(arrays)
        nodes = {node.id: node for node in settings.nodes}
        for (number, name), gradient in zip(made.keys, rest, strict=False):
            nodes[number].inc_grad(name, gradient)
        made.changes.apply(rest[len(made.keys) :])
        return loss

    def _gradients(self, settings: Settings, arrays: list[Any], form: Any, drop: float | None) -> _Gradients:
        found: list[Any] = []

        def function(given: list[Any]) -> list[Any]:
            params, states, (rate, counts), batch = parts(given, len(settings.places), len(settings.state), 2)
            trace = Trace(settings, params, states, counts)
            with trace.seen():
                loss = self._pass(*put_together(form, batch), rate[0] if drop else drop)
            gradients, changes = trace.gradients(), trace.changes()
            found[:] = list(gradients), changes
            return [loss, *gradients.values(), *changes.arrays]

        program = self._programs.compiler.program(function, arrays)
        return _Gradients(program, *found)


def _over_rows(ops: Ops, loss: Callable[..., tuple[Any, Any]], Y: Any, truths: Any) -> tuple[Any, Any]:
    """Gradient and loss, where the loss gets the rows of sequences one after another; those of a list as a list
    where it is one of lists."""
    if isinstance(Y, Ragged):
        gradient, value = loss(Y.data, truths)
        return replace(Y, data=gradient), value
    if isinstance(Y, Padded):
        rows = ops.padded2ragged(Y)
        gradient, value = loss(rows.data, truths)
        padded = ops.ragged2padded(replace(rows, data=gradient), Y.indices)
        return replace(Y, data=padded.data), value
    if isinstance(Y, list) and not isinstance(loss, SequenceCategoricalCrossentropy):
        gradient, value = loss(ops.flatten(Y), truths)
        return ops.unflatten(gradient, [y.shape[0] for y in Y]), value
    return loss(Y, truths)
