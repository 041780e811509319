"""A pass over a model and an optimizer's update of it as one program."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from typing import Any

from triops.models.compile.again import Again, Made, Trained
from triops.models.compile.batches import Batch
from triops.models.compile.forms import signature
from triops.models.compile.inventory import Changes, Settings, Trace
from triops.models.compile.precision import Precision, Scale
from triops.models.compile.programs import Programs, dropping, parts
from triops.models.compile.update import Before, Group, Numbers, column, grouped, take_tables, traced_update
from triops.models.guard import check_owner
from triops.models.model import Model
from triops.models.optimizers.optimizer import Optimizer
from triops.types import ParamKey

__all__ = ["FusedStep"]

# X, truths, drop, scale -> the loss, with the gradients in the model.
Pass = Callable[[Any, Any, Any, Scale], Any]


class _OthersAreTrained(Exception):
    """A pass had gradients of these."""

    def __init__(self, keys: set[ParamKey]) -> None:
        super().__init__()
        self.keys = keys


class FusedStep:
    """Programs of the whole step, one for each kind of batch. keeps_weights: those before it may still be in use,
    as by a callback that can be called again."""

    def __init__(
        self,
        programs: Programs,
        optimizer: Optimizer,
        precision: Precision,
        run: Pass,
        *,
        keeps_weights: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self._programs, self._precision, self._run = programs, precision, run
        self._keeps_weights = keeps_weights
        self._ops = programs.model.ops
        self._numbers = Numbers(optimizer, self._ops)
        self._trained: dict[Hashable, Trained] = {}
        self._latest: dict[Hashable, Made] = {}
        self._wide = False  # whether the weights were float64 when it was looked last
        self._again: Again | None = None
        self._alike: tuple[Made, Settings] | None = None  # those of a step that the next may be like
        self._kind: tuple[Any, ...] | None = None

    def __call__(self, X: Any, truths: Any, drop: float | None) -> Any:
        """Make the step; returns the loss."""
        if self._again is not None:
            loss = self._again(X, truths, drop)
            if loss is not None:
                return loss
            self._kind = None
        self._again, self._alike = None, None
        check_owner(self._programs.model, "X", X)
        loss = self._programs.run(X, truths, lambda settings, batch: self.run_batch(settings, batch, drop))
        self._again = self._after(X, truths, drop)
        return loss

    def _after(self, X: Any, truths: Any, drop: float | None) -> Again | None:
        """What a step like this one takes, after two that were alike."""
        owns, kind_of = self._ops.backend.owns, self._ops.backend.kind_of
        if self._alike is None or not (owns(X) and owns(truths)):
            return None
        made, settings = self._alike
        kind, before = (drop, kind_of(X), kind_of(truths)), self._kind
        self._kind = kind
        if kind != before or [*self.optimizer.nr_update] != made.trained.keys or not settings.hold():
            return None
        snapshot = settings.snapshot()
        if snapshot is None:
            return None
        return Again(made, settings, snapshot, self._numbers, self.optimizer, kind, self._wide)

    def run_batch(self, settings: Settings, batch: Batch, drop: float | None) -> Any:
        """The same, with a batch taken apart."""
        sums = [(node, name) for node in settings.nodes if node._grads for name in node._grads]
        # Gradients that are there already may be of others from one update to the next.
        kind = settings, tuple([(node.id, name) for node, name in sums])
        if kind not in self._trained:
            self._trained[kind] = _split(settings, set(settings.keys))
        try:
            return self._step(settings, self._trained[kind], sums, batch, drop)
        except _OthersAreTrained as found:
            self._trained[kind] = _split(settings, found.keys)
            return self._step(settings, self._trained[kind], sums, batch, drop)

    def _step(
        self,
        settings: Settings,
        trained: Trained,
        sums: Sequence[tuple[Model, str]],
        batch: Batch,
        drop: float | None,
    ) -> Any:
        optimizer, keys = self.optimizer, trained.keys
        before = Before(optimizer, keys)
        try:
            made, groups, results = self._results(settings, trained, sums, batch, drop)
        except BaseException:
            before.restore()  # it came to nothing, or will be tried as another one
            raise
        rest = made.put(optimizer, results)
        if not self._precision.take(self._ops, rest):
            before.restore()
            return rest[0]
        for node, _ in sums:
            node._grads.clear()
        if len(groups) == 1 and not sums and self._precision.name != "float16" and self._numbers.are_constant():
            self._alike = made, settings
        return made.finish(optimizer, groups, rest)

    def _results(
        self,
        settings: Settings,
        trained: Trained,
        sums: Sequence[tuple[Model, str]],
        batch: Batch,
        drop: float | None,
    ) -> tuple[Made, list[Group], Sequence[Any]]:
        """The program of a step, its parameters in groups, and what it returned."""
        optimizer, ops, keys = self.optimizer, self._ops, trained.keys
        groups = grouped(optimizer, keys)
        scale = self._precision.arrays(ops)
        names = take_tables(optimizer, keys, trained.places, ops)
        named, numbers = self._numbers(groups, drop, self._wide)
        tables = [getattr(optimizer, name) for name in names]
        given = (
            dropping(drop), named, tuple(names),
            tuple([tuple(group.keys) for group in groups]) if len(groups) > 1 else (),
            tuple([(node.id, name) for node, name in sums]),
        )  # fmt: skip
        short = settings, batch.key(longest=True), given
        made = self._latest.get(short)

        def gathered() -> list[Any]:
            return [
                *[node._params[name] for node, name in trained.places],
                *chain.from_iterable([column(table, keys) for table in tables]),
                *[node._params[name] for node, name in trained.others],
                *[node._grads[name] for node, name in sums],
                *settings.states(),
                numbers,
                settings.counts(),
                *scale,
                *batch.arrays,
            ]

        # The dtypes and shapes of weights and tables, of which there are many, are looked at where a program does
        # not fit.
        if made is not None:
            try:
                results = made.program(gathered())
            except TypeError:
                made = None
        if made is None:
            self._wide = any(node._params[name].dtype.itemsize == 8 for node, name in trained.places[:1])
            named, numbers = self._numbers(groups, drop, self._wide)
            arrays = gathered()
            made = self._programs.get(
                settings,
                batch,
                lambda longest: ("step", batch.key(longest), given, signature(arrays)),
                lambda: self._make(settings, trained, batch, arrays, names, groups, sums, drop),
            )
            results = made.program(arrays)
            self._latest[short] = made
        return made, groups, results

    def _make(
        self,
        settings: Settings,
        trained: Trained,
        batch: Batch,
        arrays: list[Any],
        names: Sequence[str],
        groups: Sequence[Group],
        sums: Sequence[tuple[Model, str]],
        drop: float | None,
    ) -> Made:
        found: list[Changes] = []
        keys = trained.keys

        def function(given: list[Any]) -> list[Any]:
            weights, tables, others, grads, states, (numbers, counts), scales, taken = parts(
                given, len(keys), len(names) * len(keys), len(trained.others), len(sums), len(settings.state), 2,
                len(self._precision.arrays(self._ops)),
            )  # fmt: skip
            scale = Scale(self._ops, scales)
            params = dict(zip([*trained.places, *trained.others], [*weights, *others], strict=True))
            trace = Trace(settings, self._precision, [params[place] for place in settings.places], states, counts)
            trace.add_up(sums, map(scale.up, batch.once(grads)))
            with trace.seen(), batch.entered(taken) as (X, truths):
                loss = self._run(X, truths, numbers[0] if drop else drop, scale)
            gradients, changes = trace.gradients(), trace.changes()
            if gradients.keys() != set(keys):
                raise _OthersAreTrained(set(gradients))
            loss, summed = batch.summed(loss, [gradients[key] for key in keys], changes.arrays)
            columns = parts(tables, *[len(keys)] * len(names))
            updated, after = traced_update(
                self.optimizer,
                self._ops,
                dict(zip(keys, weights, strict=True)),
                dict(zip(keys, scale.down(summed), strict=True)),
                {
                    name: dict(zip(keys, column, strict=True))
                    for name, column in zip(names, columns, strict=False)
                },
                groups,
                (numbers[i] for i in range(1, numbers.shape[0])),
            )
            found[:] = [changes]
            new = [table[key] for table in (updated, *(after[name] for name in names)) for key in keys]
            new = scale.where_finite(new, [*weights, *tables])
            return [*new, loss, *changes.arrays, *scale.after()]

        donated = range(len(keys) if self._keeps_weights else 0, (1 + len(names)) * len(keys))
        program = self._programs.program(batch, function, arrays, donated)
        return Made(program, found[0], trained, list(names))


def _split(settings: Settings, keys: set[ParamKey]) -> Trained:
    pairs = list(zip(settings.places, settings.keys, strict=True))
    return Trained(
        [place for place, key in pairs if key in keys],
        [key for key in settings.keys if key in keys],
        [place for place, key in pairs if key not in keys],
    )
