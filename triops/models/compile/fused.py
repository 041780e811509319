"""A pass over a model and an optimizer's update of it as one program."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

from triops.backends.compiler import Program
from triops.models.compile.batches import Batch
from triops.models.compile.forms import signature
from triops.models.compile.inventory import Changes, Settings, Trace
from triops.models.compile.precision import Precision, Scale
from triops.models.compile.programs import Programs, dropping, parts
from triops.models.compile.update import Before, Group, Numbers, column, grouped, take_tables, traced_update
from triops.models.model import Model
from triops.models.optimizers.optimizer import Optimizer
from triops.types import ParamKey

__all__ = ["FusedStep"]

# X, truths, drop, scale -> the loss, with the gradients in the model.
Pass = Callable[[Any, Any, Any, Scale], Any]


class _Trained(NamedTuple):
    """The parameters that a pass has gradients of, and the others."""

    places: list[tuple[Model, str]]
    keys: list[ParamKey]
    others: list[tuple[Model, str]]


class _Step(NamedTuple):
    program: Program
    changes: Changes


class _Again(NamedTuple):
    """What a step of arrays had that the next one is likely to have: all but the arrays."""

    settings: Settings
    trained: _Trained
    made: _Step
    names: list[str]


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
        self._trained: dict[Hashable, _Trained] = {}
        self._latest: dict[Hashable, _Step] = {}
        self._wide = False  # whether the weights were float64 when it was looked last
        self._again: _Again | None = None
        self._again_kind: tuple[Any, ...] | None = None

    def __call__(self, X: Any, truths: Any, drop: float | None) -> Any:
        """Make the step; returns the loss."""
        kind = _kind(X, truths, drop)
        if self._again is not None and self._again_kind == kind:
            loss = self._once_more(self._again, X, truths, drop)
            if loss is not None:
                return loss
        self._again = None
        loss = self._programs.run(X, truths, lambda settings, batch: self.run_batch(settings, batch, drop))
        is_array = self._ops.backend.is_array
        self._again_kind = kind if is_array(X) and is_array(truths) else None
        return loss

    def _once_more(self, again: _Again, X: Any, truths: Any, drop: float | None) -> Any:
        """The loss of a step that is the one before but for its arrays, None where it is not. After a program
        the processor's caches hold nothing of this, and each object that is looked at takes ten times as long."""
        optimizer, settings, (places, keys, others) = self.optimizer, again.settings, again.trained
        steps = list(optimizer.nr_update.values())
        if (
            list(optimizer.nr_update) != keys
            or steps.count(steps[0]) != len(steps)
            or [node for node in settings.nodes if node._grads]
            or not settings.hold()
        ):
            return None
        step = steps[0] + 1
        numbers = self._numbers.known(step, drop, self._wide)
        if numbers is None:
            return None
        arrays = [node._params[name] for node, name in places]
        for name in again.names:
            table = getattr(optimizer, name)
            if list(table) != keys:
                return None
            arrays += table.values()
        arrays += [node._params[name] for node, name in others]
        arrays += (*settings.states(), numbers, settings.counts(), X, truths)
        try:
            results = again.made.program(arrays)
        except TypeError:  # parameters of another shape or dtype
            return None
        optimizer.updates = max(optimizer.updates, step)
        self._put(again.trained, again.names, results)
        loss = self._finish(again.trained, again.names, [Group(step, False, keys)], again.made, results)
        self._numbers.look_ahead(step + 1, drop, self._wide)  # while the program runs
        return loss

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
        trained: _Trained,
        sums: Sequence[tuple[Model, str]],
        batch: Batch,
        drop: float | None,
    ) -> Any:
        optimizer, keys = self.optimizer, trained.keys
        before = Before(optimizer, keys)
        try:
            made, names, groups, results = self._results(settings, trained, sums, batch, drop)
        except BaseException:
            before.restore()  # it came to nothing, or will be tried as another one
            raise
        self._put(trained, names, results)
        if not self._precision.take(self._ops, results):
            before.restore()
            return results[self._at_loss(trained, names)]
        for node, _ in sums:
            node._grads.clear()
        if len(groups) == 1 and not sums and self._precision.name != "float16":
            self._again = _Again(settings, trained, made, names)
        return self._finish(trained, names, groups, made, results)

    def _put(self, trained: _Trained, names: Sequence[str], results: Sequence[Any]) -> None:
        """Have the arrays that a program returned in the model and the optimizer."""
        count = at = len(trained.keys)
        for (node, name), W in zip(trained.places, results, strict=False):
            node._params[name] = W
        for name in names:
            getattr(self.optimizer, name).update(zip(trained.keys, results[at : at + count], strict=True))
            at += count

    def _finish(
        self,
        trained: _Trained,
        names: Sequence[str],
        groups: Sequence[Group],
        made: _Step,
        results: Sequence[Any],
    ) -> Any:
        """Have the update counted, and the state set that the pass has changed; returns the loss."""
        for group in groups:
            self.optimizer.nr_update.update(zip(group.keys, repeat(group.step)))
        at = self._at_loss(trained, names)
        made.changes.apply(results[at + 1 : at + 1 + len(made.changes.arrays)])
        return results[at]

    @staticmethod
    def _at_loss(trained: _Trained, names: Sequence[str]) -> int:
        return (1 + len(names)) * len(trained.keys)

    def _results(
        self,
        settings: Settings,
        trained: _Trained,
        sums: Sequence[tuple[Model, str]],
        batch: Batch,
        drop: float | None,
    ) -> tuple[_Step, list[str], list[Group], Sequence[Any]]:
        """What the program of a step returned, the tables that it had, and its parameters in groups."""
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
        return made, names, groups, results

    def _make(
        self,
        settings: Settings,
        trained: _Trained,
        batch: Batch,
        arrays: list[Any],
        names: Sequence[str],
        groups: Sequence[Group],
        sums: Sequence[tuple[Model, str]],
        drop: float | None,
    ) -> _Step:
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
        return _Step(program, found[0])


def _split(settings: Settings, keys: set[ParamKey]) -> _Trained:
    pairs = list(zip(settings.places, settings.keys, strict=True))
    return _Trained(
        [place for place, key in pairs if key in keys],
        [key for key in settings.keys if key in keys],
        [place for place, key in pairs if key not in keys],
    )


def _kind(X: Any, truths: Any, drop: float | None) -> tuple[Any, ...]:
    """What a step of arrays is made for."""
    kind: list[Any] = [drop]
    for given in (X, truths):
        kind += (type(given), getattr(given, "shape", None), getattr(given, "dtype", None))
    return tuple(kind)
