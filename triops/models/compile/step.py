"""A train step: forward, loss, backward and update."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn
from weakref import WeakSet, WeakValueDictionary

from triops.backends.compiler import Program
from triops.errors import ArgumentError, UnknownLengths
from triops.models.compile.batches import Batch
from triops.models.compile.devices import across_devices
from triops.models.compile.forms import signature
from triops.models.compile.fused import FusedStep
from triops.models.compile.inventory import Changes, Settings, Trace
from triops.models.compile.model import CompiledModel
from triops.models.compile.precision import LossScaled, Precision, Scale
from triops.models.compile.programs import Programs, dropping, parts, rate_of
from triops.models.compile.update import fits_programs
from triops.models.guard import check_owner, locate, located
from triops.models.losses.categorical import SequenceCategoricalCrossentropy
from triops.models.losses.loss import Loss
from triops.models.model import Model
from triops.models.one_step import in_one_step
from triops.models.precision import in_full
from triops.models.trees import map_arrays
from triops.ops import Ops
from triops.ragged import Joined, Padded, Ragged
from triops.types import ParamKey

__all__ = ["CompiledStep"]

_steps: WeakSet[CompiledStep] = WeakSet()


def _after_fork() -> None:
    # Another thread of the parent may have been in a step, and will not leave it in the child.
    for step in _steps:
        step._turn = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Gradients(NamedTuple):
    """A program of a pass, whose gradients it returns, and what it does to state."""

    program: Program
    keys: list[ParamKey]
    changes: Changes


class CompiledStep(LossScaled):
    """See `triops.compile_step`."""

    def __init__(
        self,
        model: Model,
        loss: Callable[..., tuple[Any, Any]],
        optimizer: Any,
        *,
        fill: bool = True,
        precision: str | None = None,
        eager: bool = False,
        devices: int | str | Sequence[Any] | None = None,
    ) -> None:
        self.model = model._model if isinstance(model, CompiledModel) else model
        self.loss, self.optimizer = loss, optimizer
        # Gradients of one step, in the model until its update, are no other thread's.
        self._turn = threading.RLock()
        _steps.add(self)
        if eager and devices is not None:
            raise ArgumentError(
                "compile_step: devices divide one program, and eager=True makes several: leave out one of them"
            )
        # Another's loss would count the rows that a batch is filled up with.
        fills = fill and isinstance(loss, Loss) and _is_ours(loss)
        self._programs = Programs(self.model, fill=fills, across=across_devices(self.model.ops, devices))
        # What cannot be one program is passes through parts, and an update.
        self._whole = CompiledModel(self.model, fill=fill, precision=precision, eager=True) if eager else None
        # Truths that cannot change are checked once, as those of an epoch that comes again.
        self._prepared: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._precision = Precision("compile_step", precision, self.model.ops)
        self._fused: FusedStep | None = None
        if self.model.ops.backend.compiler is not None and fits_programs(optimizer):
            self._fused = FusedStep(self._programs, optimizer, self._precision, self._pass)

    @property
    def compilations(self) -> int:
        """How many programs were compiled so far."""
        return self._programs.compilations + (0 if self._whole is None else self._whole.compilations)

    def __call__(self, X: Any, truths: Any, drop: float | None = 0.0) -> Any:
        """Update the model by the gradients of a batch, and those that were added up before; returns the loss, a
        scalar of the backend, which `float(loss)` waits for."""
        if self._prepared.get(id(truths)) is not truths:
            truths = self._checked(X, truths)
        with self._turn:
            if self._fused is not None and not self._is_apart():
                try:
                    return self._fused(X, truths, drop)
                except Exception as error:
                    locate(error, self.model)
                    raise
            loss, finite = self._add(X, truths, drop)
            if finite:
                self.model.finish_update(self.optimizer)
            return loss

    def accumulate(self, X: Any, truths: Any, drop: float | None = 0.0) -> Any:
        """Add the gradients of a batch to the model's, for the next update; returns the loss."""
        truths = self._checked(X, truths)
        with self._turn:
            return self._add(X, truths, drop)[0]

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a compiled step cannot be copied or pickled: copy or pickle the model, and make a step of that with "
            "triops.compile_step"
        )

    def _checked(self, X: Any, truths: Any) -> Any:
        with located(self.model):
            check_owner(self.model, "X", X)
        prepare, ops, backend = getattr(self.loss, "prepared", None), self.model.ops, self.model.ops.backend
        # Without a compiler the loss looks at arrays itself.
        is_seen_later = backend.compiler is None and backend.is_array(truths)
        if prepare is None or is_seen_later or self._prepared.get(id(truths)) is truths:
            return truths
        prepared = prepare(ops, truths, self.model.maybe_get_dim("nO"))
        if backend.immutable and prepared is truths and backend.is_array(truths):
            self._prepared[id(truths)] = truths
        return prepared

    def _pass(self, X: Any, truths: Any, drop: float | None, scale: Scale) -> Any:
        """Forward, loss and backward; returns the loss."""
        if self._is_apart():
            # A part that is compiled now may be called later where its first layer is not the first of a step.
            Y, backprop = (self._whole or self.model).begin_update(X, drop)
        else:
            with in_one_step(self.model):
                Y, backprop = self.model.begin_update(X, drop)
        dY, loss = _over_rows(self.model.ops, self.loss, in_full(Y), truths)
        backprop(map_arrays(scale.up, dY))
        return loss

    def _is_apart(self) -> bool:
        return self._whole is not None and self._whole.parts() is not None

    def _add(self, X: Any, truths: Any, drop: float | None) -> tuple[Any, bool]:
        """The loss, and whether all gradients were finite."""
        ops = self.model.ops
        self._precision.check(ops)
        if ops.backend.compiler is None or self._is_apart():
            return self._pass(X, truths, drop, Scale(ops, [])), True
        with located(self.model):
            return self._programs.run(X, truths, lambda settings, batch: self._add_batch(settings, batch, drop))

    def _add_batch(self, settings: Settings, batch: Batch, drop: float | None) -> tuple[Any, bool]:
        rate, counts = rate_of(self.model.ops, drop), settings.counts()
        scale = self._precision.arrays(self.model.ops)
        arrays = [*settings.params(), *settings.states(), rate, counts, *scale, *batch.arrays]
        made = self._programs.get(
            settings,
            batch,
            lambda longest: ("gradients", batch.key(longest), signature(arrays), dropping(drop)),
            lambda: self._gradients(settings, batch, arrays, drop),
        )
        loss, *rest = made.program(arrays)
        if not self._precision.take(self.model.ops, rest):
            return loss, False
        nodes = {node.id: node for node in settings.nodes}
        for (number, name), gradient in zip(made.keys, rest, strict=False):
            nodes[number].inc_grad(name, gradient)
        made.changes.apply(rest[len(made.keys) : len(rest) - len(scale)])
        return loss, True

    def _gradients(self, settings: Settings, batch: Batch, arrays: list[Any], drop: float | None) -> _Gradients:
        found: list[Any] = []

        def function(given: list[Any]) -> list[Any]:
            scales = len(self._precision.arrays(self.model.ops))
            params, states, (rate, counts), given_scale, taken = parts(
                given, len(settings.places), len(settings.state), 2, scales
            )
            scale = Scale(self.model.ops, given_scale)
            trace = Trace(settings, self._precision, params, states, counts)
            with trace.seen(), batch.entered(taken) as (X, truths):
                loss = self._pass(X, truths, rate[0] if drop else drop, scale)
            gradients, changes = trace.gradients(), trace.changes()
            found[:] = list(gradients), changes
            loss, summed = batch.summed(loss, list(gradients.values()), changes.arrays)
            return [loss, *scale.down(summed), *changes.arrays, *scale.after()]

        program = self._programs.program(batch, function, arrays)
        return _Gradients(program, *found)


def _is_ours(loss: Loss) -> bool:
    return type(loss).__call__.__module__.startswith(Loss.__module__.rpartition(".")[0])


def _over_rows(ops: Ops, loss: Callable[..., tuple[Any, Any]], Y: Any, truths: Any) -> tuple[Any, Any]:
    """Gradient and loss, where the loss gets the rows of sequences one after another; those of a list as a list
    where it is one of lists."""
    loss = _both_of(loss)
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


def _both_of(loss: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """The loss, where it returns two things."""
    if isinstance(loss, Loss):
        return loss

    def checked(Y: Any, truths: Any) -> tuple[Any, Any]:
        found = loss(Y, truths)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise ArgumentError(
                f"compile_step: the loss must return (gradient, loss), got {type(found).__name__}: return both"
            )
        gradient, value = found
        return gradient, value

    return checked


def _of_joined(ops: Ops, loss: Callable[..., tuple[Any, Any]], Y: Joined, truths: Any) -> tuple[Any, Any]:
    if not isinstance(loss, SequenceCategoricalCrossentropy):
        gradient, value = loss(Y.data, truths)
        return Joined(gradient, Y.lengths), value
    raise UnknownLengths("the loss takes the arrays of a list one by one")
