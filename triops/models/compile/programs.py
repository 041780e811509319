"""What compiled models and compiled steps share: the programs that were made, and how one is made."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, TypeVar

from triops.backends.compiler import AcrossDevices, Compiler, Function, Program
from triops.errors import ArgumentError, CompileError, TriopsError, UnknownLengths
from triops.models.compile.batches import Batch, FilledBatch, batch_of
from triops.models.compile.buckets import Sizes
from triops.models.compile.devices import DividedBatch
from triops.models.compile.inventory import Inventory, Settings
from triops.models.compile.traps import nothing_left_behind, refuse_constants
from triops.models.guard import path_of
from triops.models.model import Model
from triops.ops import Ops

__all__ = ["Programs", "dropping", "parts", "rate_of"]

Made = TypeVar("Made")
Result = TypeVar("Result")
_MANY = 16


class Programs:
    """A model's programs by what they were compiled for. root: what errors name the model's layers within.
    compilations: how many were made."""

    def __init__(
        self, model: Model, *, fill: bool, root: Model | None = None, across: AcrossDevices | None = None
    ) -> None:
        self.model, self._across = model, across
        self._root = root or model
        self.inventory = Inventory(model)
        self.compilations = 0
        self._fill = fill
        self._filled = partial(FilledBatch if across is None else partial(DividedBatch, across), Sizes())
        self._exact: set[Settings] = set()
        self._with_longest: set[Settings] = set()
        self._without_longest: set[Settings] = set()
        self._made: dict[Hashable, Any] = {}
        self._shapes: list[str] = []
        self._lock = threading.RLock()

    @property
    def compiler(self) -> Compiler:
        """The backend's. Raises ArgumentError where the model has one that does not compile by now."""
        compiler = self.model.ops.backend.compiler
        if compiler is None:
            raise ArgumentError(
                f"the model was moved to {self.model.ops!r}, which compiles nothing: compile it again there, "
                f"or move it back"
            )
        return compiler

    def get(
        self, settings: Settings, batch: Batch, key: Callable[[bool], Hashable], make: Callable[[], Made]
    ) -> Made:
        """The program for a batch, made where it is not there yet. key: what it is for, given whether the longest
        length matters."""
        made: Made | None = self._made.get((settings, key(settings in self._with_longest)))
        if made is not None:
            return made
        with self._lock:
            made = self._made.get((settings, key(settings in self._with_longest)))
            if made is None:
                made = self._make(settings, make)
                known = batch.known
                if known is not None:
                    uses = known.longest_was_used
                    (self._with_longest if uses else self._without_longest).add(settings)
                self._made[settings, key(settings in self._with_longest)] = made
                self._count(batch.told)
        return made

    def program(
        self, batch: Batch, function: Function, arrays: Sequence[Any], donated: range = range(0)
    ) -> Program:
        """A program of a batch, whose arrays are the last, on all the devices that there are."""
        if self._across is None:
            return self.compiler.program(function, arrays, donated)
        make = self._across.apart if isinstance(batch, DividedBatch) else self._across.whole
        return make(function, arrays, donated, batch.axes)

    def run(self, X: Any, truths: Any, call: Callable[[Settings, Batch], Result]) -> Result:
        """Call with a batch that is filled up, or, where a layer has to know the lengths, with one that is
        not."""
        settings = self.inventory.settings()
        if self.model.ops.backend.is_array(X):
            return call(settings, Batch(self.model.ops, X, truths))
        longest = settings in self._with_longest or settings not in self._without_longest
        fill = self._fill and settings not in self._exact
        filled = partial(self._filled, longest) if fill else None
        batch = batch_of(self.model.ops, X, truths, filled=filled)
        try:
            return call(settings, batch)
        except UnknownLengths:
            if not isinstance(batch, FilledBatch):
                raise
        self._exact.add(settings)
        return call(settings, Batch(self.model.ops, X, truths))

    def _make(self, settings: Settings, make: Callable[[], Made]) -> Made:
        try:
            with nothing_left_behind(self._root, settings.nodes):
                made = make()
        except TriopsError:
            raise
        except Exception as error:
            reason = self.compiler.why_not(error)
            if reason is None:
                raise
            raise self._refusal(error, settings, reason) from error
        programs: Sequence[Any] = made if isinstance(made, tuple) else (made,)
        for program in programs:
            if isinstance(program, Program):
                refuse_constants(self._root, settings.nodes, program.constants)
        return made

    def _refusal(self, error: Exception, settings: Settings, reason: str) -> CompileError:
        number = error.__dict__.get("_triops_layer", (self.model.id,))[0]
        node = next((node for node in settings.nodes if node.id == number), self.model)
        return CompileError(
            f"{path_of(self._root, node)} cannot be compiled: {reason}: compute with self.ops and its xp "
            f"alone, or "
            f"keep the layer out of what is compiled"
        )

    def _count(self, shapes: str) -> None:
        self.compilations += 1
        self._shapes.append(shapes)
        if self.compilations > _MANY and not (self.compilations - 1) % _MANY:
            last = "; ".join(self._shapes[-5:])
            warnings.warn(
                f"{self.model.name} was compiled {self.compilations} times, the last five for {last}: give "
                f"batches "
                f"of few shapes, or sequences, whose lengths are rounded up",
                stacklevel=5,
            )


def parts(arrays: list[Any], *counts: int) -> list[list[Any]]:
    """That many arrays each, and the rest."""
    found, at = [], 0
    for count in counts:
        found.append(arrays[at : at + count])
        at += count
    return [*found, arrays[at:]]


def rate_of(ops: Ops, drop: float | None, numbers: Sequence[float] = (), *, wide: bool = False) -> Any:
    """A rate of dropout, and the numbers of an update, as a program takes them. wide: in float64."""
    if drop is not None and not 0 <= drop < 1:
        raise ArgumentError(f"drop must be from 0 up to, not including, 1, got {drop}")
    host = ops.backend.host.namespace
    return host.array([drop or 0.0, *numbers], host.float64 if wide else host.float32)


def dropping(drop: float | None) -> bool | None:
    """What a program does about dropout, whatever the rate is: nothing where it is None or False."""
    return None if drop is None else drop > 0
