"""A train step: forward, loss, backward and update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from triops.backends.compiler import Program
from triops.errors import UnknownLengths
from triops.models.compile.batches import Batch
from triops.models.compile.devices import across_devices
from triops.models.compile.forms import signature
from triops.models.compile.fused import FusedStep
from triops.models.compile.inventory import Changes, Settings, Trace
from triops.models.compile.model import CompiledModel
from triops.models.compile.programs import Programs, dropping, parts, rate_of
from triops.models.compile.update import fits_programs
from triops.models.guard import check_owner, located
from triops.models.losses.categorical import SequenceCategoricalCrossentropy
from triops.models.losses.loss import Loss
from triops.models.model import Model
from triops.ops import Ops
from triops.ragged import Joined, Padded, Ragged
from triops.types import ParamKey

__all__ = ["CompiledStep"]


class _Gradients(NamedTuple):
    """A program of a pass, whose gradients it returns, and what it does to state."""

    program: Program
    keys: list[ParamKey]
    changes: Changes


class CompiledStep:
    """See `triops.compile_step`."""

    def __init__(
        self,
        model: Model,
        loss: Callable[..., tuple[Any, Any]],
        optimizer: Any,
        *,
        fill: bool = True,
        devices: int | str | Sequence[Any] | None = None,
    ) -> None:
        self.model = model._model if isinstance(model, CompiledModel) else model
        self.loss, self.optimizer = loss, optimizer
        # Another's loss would count the rows that a batch is filled up with.
        fill = fill and isinstance(loss, Loss) and _is_ours(loss)
        self._programs = Programs(self.model, fill=fill, across=across_devices(self.model.ops, devices))
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
        with located(self.model):
            return self._programs.run(X, truths, lambda settings, batch: self._add_batch(settings, batch, drop))

    def _add_batch(self, settings: Settings, batch: Batch, drop: float | None) -> Any:
        rate, counts = rate_of(self.model.ops, drop), settings.counts()
        arrays = [*settings.params(), *settings.states(), rate, counts, *batch.arrays]
        made = self._programs.get(
            settings,
            batch,
            lambda longest: ("gradients", batch.key(longest), signature(arrays), dropping(drop)),
            lambda: self._gradients(settings, batch, arrays, drop),
        )
        loss, *rest = made.program(arrays)
        nodes = {node.id: node for node in settings.nodes}
        for (number, name), gradient in zip(made.keys, rest, strict=False):
            nodes[number].inc_grad(name, gradient)
        made.changes.apply(rest[len(made.keys) :])
        return loss

    def _gradients(self, settings: Settings, batch: Batch, arrays: list[Any], drop: float | None) -> _Gradients:
        found: list[Any] = []

        def function(given: list[Any]) -> list[Any]:
            params, states, (rate, counts), taken = parts(given, len(settings.places), len(settings.state), 2)
            trace = Trace(settings, params, states, counts)
            with trace.seen(), batch.entered(taken) as (X, truths):
                loss = self._pass(X, truths, rate[0] if drop else drop)
            gradients, changes = trace.gradients(), trace.changes()
            found[:] = list(gradients), changes
            loss, summed = batch.summed(loss, list(gradients.values()), changes.arrays)
            return [loss, *summed, *changes.arrays]

        program = self._programs.program(batch, function, arrays)
        return _Gradients(program, *found)


def _is_ours(loss: Loss) -> bool:
    return type(loss).__call__.__module__.startswith(Loss.__module__.rpartition(".")[0])


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
    if isinstance(Y, Joined):
        return _of_joined(ops, loss, Y, truths)
    if isinstance(Y, list) and not isinstance(loss, SequenceCategoricalCrossentropy):
        gradient, value = loss(ops.flatten(Y), truths)
        return ops.unflatten(gradient, [y.shape[0] for y in Y]), value
    return loss(Y, truths)


def _of_joined(ops: Ops, loss: Callable[..., tuple[Any, Any]], Y: Joined, truths: Any) -> tuple[Any, Any]:
    if not isinstance(loss, SequenceCategoricalCrossentropy):
        gradient, value = loss(Y.data, truths)
        return Joined(gradient, Y.lengths), value
    raise UnknownLengths("the loss takes the arrays of a list one by one")
