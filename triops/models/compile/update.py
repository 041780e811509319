"""An optimizer's update within a program. Its numbers are computed on the host, in every call, by the optimizer's
own code, and the program takes them in the order in which that code gave them to the ops."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import is_
from typing import Any, NamedTuple

from triops.models.compile.programs import rate_of
from triops.models.model import Model
from triops.models.optimizers.optimizer import Optimizer
from triops.models.optimizers.schedules import Constant
from triops.ops import Ops
from triops.types import ParamKey

__all__ = [
    "Before",
    "Group",
    "Numbers",
    "column",
    "fits_programs",
    "grouped",
    "take_tables",
    "traced_update",
]

_Taken = tuple[tuple[Any, ...], Any]
Tables = Mapping[str, Mapping[ParamKey, Any]]

_AHEAD = 32  # updates whose numbers are computed at once
_STEPS = ("__call__", "update_all", "update", "_prepared", "_step")


class Group(NamedTuple):
    """Parameters that share the numbers of an update. step: how often they will have been updated. fresh: they
    have no averages yet."""

    step: int
    fresh: bool
    keys: list[ParamKey]


def grouped(optimizer: Optimizer, keys: Sequence[ParamKey]) -> list[Group]:
    """The parameters of an update in groups."""
    averages, steps = optimizer.averages, optimizer.nr_update
    counts = list(steps.values()) if list(steps) == keys else [steps.get(key, 0) for key in keys]
    if keys and counts.count(counts[0]) == len(counts) and (averages is None or has_all(averages, keys)):
        return [Group(counts[0] + 1, False, list(keys))]
    groups: dict[tuple[int, bool], list[ParamKey]] = {}
    for key, count in zip(keys, counts, strict=True):
        group = count + 1, averages is not None and key not in averages
        groups.setdefault(group, []).append(key)
    return [Group(*group, members) for group, members in groups.items()]


def fits_programs(optimizer: Any) -> bool:
    """Whether an update is a fixed program of arrays and of numbers that the host knows; another's own code may
    be anything."""
    return isinstance(optimizer, Optimizer) and all(
        getattr(type(optimizer), step).__module__ == Optimizer.__module__ for step in _STEPS
    )


def has_all(table: Mapping[ParamKey, Any], keys: Sequence[ParamKey]) -> bool:
    """Whether a table has these keys. Mostly they are all that it has, in this order, and then nothing is looked
    up: the keys are tuples, which are hashed anew each time."""
    return list(table) == keys or all(map(table.__contains__, keys))


def column(table: Mapping[ParamKey, Any], keys: Sequence[ParamKey]) -> list[Any]:
    """What a table has for these keys."""
    return list(table.values()) if list(table) == keys else [table[key] for key in keys]


def take_tables(
    optimizer: Optimizer, keys: Sequence[ParamKey], places: Sequence[tuple[Model, str]], ops: Ops
) -> list[str]:
    """The names of the tables of arrays that an update changes, with an array there for each parameter."""
    names = list(optimizer.moments)
    for moment in names:
        table = getattr(optimizer, moment)
        if has_all(table, keys):
            continue
        for key, (node, name) in zip(keys, places, strict=True):
            if key not in table:
                W = node._params[name]
                table[key] = ops.alloc(W.shape, W.dtype)
    if optimizer.averages is None:
        return names
    if has_all(optimizer.averages, keys):
        return [*names, "averages"]
    for key, (node, name) in zip(keys, places, strict=True):
        if key not in optimizer.averages:
            optimizer.averages[key] = ops.xp.array(node._params[name], copy=True)
    return [*names, "averages"]


class Before:
    """What an optimizer knew before an update that may come to nothing, beside the arrays."""

    def __init__(self, optimizer: Optimizer, keys: Sequence[ParamKey]) -> None:
        self._optimizer, self._updates = optimizer, optimizer.updates
        tables = [getattr(optimizer, name) for name in optimizer.moments]
        averages = optimizer.averages
        self._missing = [
            (table, key)
            for table in (tables if averages is None else [*tables, averages])
            if not has_all(table, keys)
            for key in keys
            if key not in table
        ]

    def restore(self) -> None:
        """Back to that."""
        self._optimizer.updates = self._updates
        for table, key in self._missing:
            del table[key]


class Numbers:
    """The numbers of an update, computed without arrays."""

    def __init__(self, optimizer: Optimizer, ops: Ops) -> None:
        self._optimizer, self._ops = optimizer, ops
        self._dry = _Dry(ops, self._note)
        self._found: list[float] = []
        self._named: list[Any] = []
        self._settings: list[Any] = []
        self._ahead: dict[int, _Taken] = {}
        self._ahead_for: tuple[float | None, bool] | None = None

    def __call__(self, groups: Sequence[Group], drop: float | None, wide: bool) -> _Taken:
        """Which ops the update of these groups takes, in order, and so which program it needs; and an array of
        the host of the rate of dropout and their numbers."""
        if len(groups) != 1 or groups[0].fresh or not self.are_constant():
            self._optimizer.updates = max(self._optimizer.updates, *(group.step for group in groups), 0)
            return self._taken([groups], drop, wide)[0]
        (group,) = groups
        self._optimizer.updates = max(self._optimizer.updates, group.step)
        return self.ahead(group.step, drop, wide)[group.step]

    def ahead(self, step: int, drop: float | None, wide: bool) -> dict[int, _Taken]:
        """The same for a group in its `step`-th update and in those that follow, by their counts, by an optimizer
        that is as it was in the last call, where the numbers `are_constant`."""
        if step not in self._ahead or self._ahead_for != (drop, wide):
            # Many at once: after a program nothing of this is in the processor's caches any more.
            steps = range(step, step + _AHEAD)
            taken = self._taken([[Group(step, False, [])] for step in steps], drop, wide)
            self._ahead, self._ahead_for = dict(zip(steps, taken, strict=True)), (drop, wide)
        return self._ahead

    def are_constant(self) -> bool:
        """Whether the numbers depend on nothing but how many updates there were. What was computed ahead is
        dropped where the optimizer is not as it was."""
        optimizer = self._optimizer
        settings = vars(optimizer).copy()
        del settings["updates"]
        now = [*optimizer.schedules.values(), *settings.values()]
        if len(now) != len(self._settings) or not all(map(is_, now, self._settings)):
            self._settings, self._ahead = now, {}
            self._constant = all(isinstance(each, Constant) for each in optimizer.schedules.values())
        return self._constant

    def _taken(self, updates: Sequence[Sequence[Group]], drop: float | None, wide: bool) -> list[_Taken]:
        """Those of several updates, for each of which the schedules say the same."""
        optimizer = self._optimizer
        self._found, self._named = [], []
        optimizer._prepared(self._dry, {})
        found, named, taken = self._found, self._named, []
        for groups in updates:
            self._found, self._named = found.copy(), named.copy()
            for group in groups:
                optimizer._step(self._dry, {}, {}, [], group.step, optimizer.learn_rate)
                if group.fresh:
                    self._found[-1] = 1.0  # the share of the new weights in their first average
            taken.append((tuple(self._named), rate_of(self._ops, drop, self._found, wide=wide)))
        return taken

    def _note(
        self, op: str, arrays: Any, numbers: Sequence[float], settings: Mapping[str, Any]
    ) -> Sequence[float]:
        self._named.append((op, *settings.items()))
        self._found += numbers
        return numbers


def traced_update(
    optimizer: Optimizer,
    ops: Ops,
    weights: Mapping[ParamKey, Any],
    gradients: Mapping[ParamKey, Any],
    tables: Tables,
    groups: Sequence[Group],
    numbers: Iterator[Any],
) -> tuple[dict[ParamKey, Any], Tables]:
    """The weights after an update, and the tables."""

    def take(op: str, arrays: Any, given: Sequence[float], settings: Mapping[str, Any]) -> Sequence[Any]:
        dtype = (arrays[0] if isinstance(arrays, tuple) else arrays)[0].dtype
        return [next(numbers).astype(dtype) for _ in given]

    shadow = copy.copy(optimizer)
    shadow.nr_update = {}
    for name, table in tables.items():
        setattr(shadow, name, dict(table))
    numbered = _Numbered(ops, take)
    ready = shadow._prepared(numbered, {key: (weights[key], gradient) for key, gradient in gradients.items()})
    updated = dict(weights)
    for group in groups:
        updated |= shadow._step(numbered, updated, ready, group.keys, group.step, shadow.learn_rate)
    return updated, {name: getattr(shadow, name) for name in tables}


class _Numbered(Ops):
    """Ops that take the numbers of updates from elsewhere: `source(op, arrays, numbers, settings)`."""

    def __init__(self, ops: Ops, source: Callable[..., Sequence[Any]]) -> None:
        self.__dict__.update(ops.__dict__)
        self._source = source

    def _each(self, op: str, arrays: tuple[Any, ...], *numbers: float, **settings: bool) -> Any:
        return super()._each(op, arrays, *self._source(op, arrays, numbers, settings), **settings)

    def _together(self, op: str, arrays: list[Any], *numbers: float) -> Any:
        return super()._together(op, arrays, *self._source(op, arrays, numbers, {}))


class _Dry(_Numbered):
    """The same without arrays, and so with nothing to check."""

    def _same(self, op: str, names: str, *arrays: Any) -> None:
        pass

    def _each(self, op: str, arrays: tuple[Any, ...], *numbers: float, **settings: bool) -> Any:
        self._source(op, arrays, numbers, settings)
        return [] if len(arrays) < 3 else tuple([] for _ in arrays[1:])

    def _together(self, op: str, arrays: list[Any], *numbers: float) -> Any:
        self._source(op, arrays, numbers, {})
        return arrays

    def _shortened(self, gradients: Any, threshold: float, clip: Callable[[list[Any]], list[Any]]) -> Any:
        return super()._shortened(gradients, threshold, clip) if threshold == float("inf") else clip([])
