"""A train step that is the one before but for its arrays. After a program the processor's caches hold nothing of
all this, and each object that is looked at takes ten times as long: so the numbers of a step are made ready while
the program before it runs, and few comparisons of whole tables tell that nothing else has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from triops.backends.compiler import Program
from triops.models.compile.inventory import Changes, Settings, Snapshot
from triops.models.compile.update import Numbers
from triops.models.model import Model
from triops.models.optimizers.optimizer import Optimizer
from triops.types import ParamKey

__all__ = ["Again", "Made", "Trained"]


class Trained(NamedTuple):
    """The parameters that a pass has gradients of, and the others."""

    places: list[tuple[Model, str]]
    keys: list[ParamKey]
    others: list[tuple[Model, str]]


class Made(NamedTuple):
    """The program of a step, and where its results belong. names: the tables of the optimizer that it changes."""

    program: Program
    changes: Changes
    trained: Trained
    names: list[str]

    def put(self, optimizer: Optimizer, results: Sequence[Any]) -> list[Any]:
        """Have the new parameters in the model, and the tables in the optimizer; returns the other results."""
        places, keys, _ = self.trained
        rest = iter(results)
        for (node, name), W in zip(places, rest, strict=False):
            node._params[name] = W
        for name in self.names:
            table = getattr(optimizer, name)
            for key, array in zip(keys, rest, strict=False):
                table[key] = array
        return list(rest)

    def finish(
        self, optimizer: Optimizer, groups: Sequence[tuple[int, bool, list[ParamKey]]], rest: Sequence[Any]
    ) -> Any:
        """Have the update counted, and the state set that the pass has changed; returns the loss."""
        counts = optimizer.nr_update
        for step, _, keys in groups:
            for key in keys:
                counts[key] = step
        if self.changes.are_some:
            self.changes.apply(rest[1 : 1 + len(self.changes.arrays)])
        return rest[0]


class Again:
    """The next step, where it is like the one before, whose parameters were one group and whose numbers are
    constant. kind: of the batch, as (drop, kind of X, kind of truths). snapshot: of the model as it left it."""

    def __init__(
        self,
        made: Made,
        settings: Settings,
        snapshot: Snapshot,
        numbers: Numbers,
        optimizer: Optimizer,
        kind: tuple[Any, ...],
        wide: bool,
    ) -> None:
        self._made, self._settings, self._numbers, self._optimizer = made, settings, numbers, optimizer
        self._kind, self._wide, self._snapshot = kind, wide, snapshot
        ops = settings.nodes[0].ops
        self._owns, self._kind_of = ops.backend.owns, ops.backend.kind_of
        self._optimizer_was, self._schedules_were = dict(vars(optimizer)), dict(optimizer.schedules)
        self._counts = settings.counts() if made.changes.are_some else ops.asarray(settings.counts(), "int32")
        self._ahead = numbers.ahead(optimizer.nr_update[made.trained.keys[0]] + 1, kind[0], wide)

    def _holds(self) -> bool:
        """Whether model and optimizer are as the last step left them, but for the arrays in their tables."""
        optimizer, keys, was = self._optimizer, self._made.trained.keys, self._optimizer_was
        was["updates"] = optimizer.updates  # another step may have counted, which no number depends on
        steps = [*optimizer.nr_update.values()]
        try:
            return (
                self._snapshot.holds()
                and vars(optimizer) == was
                and optimizer.schedules == self._schedules_were
                and [*optimizer.nr_update] == keys
                and steps.count(steps[0]) == len(steps)
            )
        except (TypeError, ValueError):  # other arrays, which `==` does not compare
            return False

    def __call__(self, X: Any, truths: Any, drop: float | None) -> Any:
        """The loss; None where more than arrays has changed, or these are of another kind."""
        made, optimizer, owns, kind_of = self._made, self._optimizer, self._owns, self._kind_of
        places, keys, others = made.trained
        if (
            not (owns(X) and owns(truths))
            or (drop, kind_of(X), kind_of(truths)) != self._kind
            or not self._holds()
        ):
            return None
        step = optimizer.nr_update[keys[0]] + 1
        arrays = [node._params[name] for node, name in places]
        for name in made.names:
            table = getattr(optimizer, name)
            if [*table] != keys:
                return None
            arrays += table.values()
        if others or self._settings.state:
            arrays += [node._params[name] for node, name in others]
            arrays += self._settings.states()
        if step not in self._ahead:
            self._ahead = self._numbers.ahead(step, drop, self._wide)
        arrays += self._ahead[step][1], self._counts, X, truths
        try:
            results = made.program(arrays)
        except TypeError:  # arrays of another shape or dtype
            return None
        rest = made.put(optimizer, results)
        if step > optimizer.updates:
            optimizer.updates = step
        loss = made.finish(optimizer, [(step, False, keys)], rest)
        # While the program runs:
        if made.changes.are_some:
            self._counts = self._settings.counts()
            self._snapshot.renew()
        if step + 1 not in self._ahead:
            self._ahead = self._numbers.ahead(step + 1, drop, self._wide)
        return loss
