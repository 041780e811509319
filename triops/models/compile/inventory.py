"""What of a model goes into its programs: parameters and state as arguments, settings as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import repeat
from operator import attrgetter
from typing import Any

from triops.models.compile.eager import refuse_untraceable
from triops.models.compile.numbers import Counter
from triops.models.compile.precision import Precision, WideSums
from triops.models.model import Model
from triops.models.precision import lowered
from triops.models.view import Tables, seeing
from triops.types import ParamKey

__all__ = ["Changes", "Inventory", "Settings", "Snapshot", "Trace"]

_WORD = 2**31  # a counter is an int32 in a program
_looked_at = attrgetter("ops", "attrs", "layers", "_state", "_grads")


class Settings:
    """The settings of a model's nodes at one time, and where its arrays and counters are."""

    def __init__(self, model: Model) -> None:
        is_array = model.ops.backend.is_array
        self.nodes = list(model.walk())
        self._ops = [node.ops for node in self.nodes]
        self._attrs = [deepcopy(node.attrs) for node in self.nodes]
        self._layers = [list(node.layers) for node in self.nodes]
        self._states = [len(node._state) for node in self.nodes]
        tables = [(node, name, value) for node in self.nodes for name, value in node._params.items()]
        self.places = [(node, name) for node, name, value in tables if value is not None]
        self.keys: list[ParamKey] = [(node.id, name) for node, name in self.places]
        self._missing = [(node, name) for node, name, value in tables if value is None]
        self.state: list[tuple[Model, str]] = []
        self.counters: list[tuple[Model, str]] = []
        self._places_of_constants: list[tuple[Model, str]] = []
        self._constants: list[Any] = []
        for node in self.nodes:
            for name, value in node._state.items():
                if is_array(value):
                    self.state.append((node, name))
                elif type(value) is int and -_WORD <= value < _WORD:
                    self.counters.append((node, name))
                else:
                    self._places_of_constants.append((node, name))
                    self._constants.append(deepcopy(value))
        self._is_array = is_array
        self._no_counts = model.ops.backend.asarray([], "int32")

    def hold(self) -> bool:
        """Whether the model is still so."""
        nodes = self.nodes
        if (
            [node.attrs for node in nodes] != self._attrs
            or [node.layers for node in nodes] != self._layers
            or [len(node._state) for node in nodes] != self._states
            or [node.ops for node in nodes] != self._ops
        ):
            return False
        # Each of these takes longer to look through nothing than to be left out.
        return not (self._missing or self._constants or self.state or self.counters) or (
            all(node._params.get(name) is None for node, name in self._missing)
            and [node._state.get(name) for node, name in self._places_of_constants] == self._constants
            and all(self._is_array(node._state.get(name)) for node, name in self.state)
            and {type(node._state.get(name)) for node, name in self.counters} <= {int}
        )

    def snapshot(self) -> Snapshot | None:
        """The model, of which these are the settings, without gradients; None where a parameter has no value."""
        if self._missing:
            return None
        states: dict[int, dict[str, Any]] = {node.id: {} for node in self.nodes}
        for (node, name), value in zip(self._places_of_constants, self._constants, strict=True):
            states[node.id][name] = value
        no_gradients: dict[str, Any] = {}
        were = zip(self._ops, self._attrs, self._layers, states.values(), repeat(no_gradients))
        changing = [(node, name, states[node.id]) for node, name in (*self.state, *self.counters)]
        return Snapshot(self.nodes, list(were), changing)

    def params(self) -> list[Any]:
        """The parameters' values now."""
        return [node._params[name] for node, name in self.places]

    def states(self) -> list[Any]:
        """The arrays of state now."""
        return [node._state[name] for node, name in self.state]

    def counts(self) -> Any:
        """The counters now, as an array of the host, or of none at all as one of the backend, which is there
        already."""
        if not self.counters:
            return self._no_counts
        numbers = [node._state[name] for node, name in self.counters]
        return self.nodes[0].ops.backend.host.namespace.array(numbers, "int32")


class Snapshot:
    """A model as it is, but for the arrays of its parameters: whether it is still so takes one look at each node,
    where `Settings.hold` takes several."""

    def __init__(
        self, nodes: list[Model], were: list[tuple[Any, ...]], changing: list[tuple[Model, str, dict[str, Any]]]
    ) -> None:
        self._nodes, self._were, self._changing = nodes, were, changing
        self.renew()

    def renew(self) -> None:
        """Take over the arrays and counters of its state that a program has changed."""
        for node, name, state in self._changing:
            state[name] = node._state[name]

    def holds(self) -> bool:
        """Whether the model is still so. Raises TypeError or ValueError for another array of state, which `==`
        does not compare."""
        return [*map(_looked_at, self._nodes)] == self._were


class Inventory:
    """The settings that a model had so far: a model that is changed back has its programs still."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._known: list[Settings] = []

    def settings(self) -> Settings:
        """Those of now."""
        for settings in self._known:
            if settings.hold():
                return settings
        refuse_untraceable(self.model)
        self._known.insert(0, Settings(self.model))
        return self._known[0]


class Trace:
    """A model whose parameters, state and counters stand for values to come, and what a pass has done to them."""

    def __init__(
        self, settings: Settings, precision: Precision, params: list[Any], states: list[Any], counts: Any
    ) -> None:
        self._settings, self._dtype = settings, precision.dtype
        sums = dict if precision.dtype is None else WideSums
        self.tables = {node.id: Tables({}, sums(), {}) for node in settings.nodes}
        root = settings.nodes[0]
        for node in settings.nodes:
            table = self.tables[node.id]
            table._params.update(dict.fromkeys(node._params))
            table._state.update(node._state)
        for (node, name), value in zip(settings.places, params, strict=True):
            self.tables[node.id]._params[name] = precision.lower(root, node, name, value)
        for (node, name), value in zip(settings.state, states, strict=True):
            self.tables[node.id]._state[name] = value
        for i, (node, name) in enumerate(settings.counters):
            self.tables[node.id]._state[name] = Counter(counts[i])
        self._before = {node.id: dict(self.tables[node.id]._state) for node in settings.nodes}

    def add_up(self, places: Sequence[tuple[Model, str]], gradients: Iterable[Any]) -> None:
        """Start from gradients that have come in before."""
        for (node, name), gradient in zip(places, gradients, strict=True):
            self.tables[node.id]._grads[name] = gradient

    @contextmanager
    def seen(self) -> Iterator[None]:
        """The model has these values in this block, for this thread."""
        with seeing(self.tables), lowered(self._dtype):
            yield

    def gradients(self) -> dict[ParamKey, Any]:
        """Those that have come in."""
        return {
            (node.id, name): gradient
            for node in self._settings.nodes
            for name, gradient in self.tables[node.id]._grads.items()
        }

    def changes(self) -> Changes:
        """What was set in the state of nodes since the last call of this."""
        changes = Changes(self._settings.nodes, self._before, self.tables)
        self._before = {number: dict(tables._state) for number, tables in self.tables.items()}
        return changes


class Changes:
    """What a call of a program does to the state of nodes. arrays: those that the program is to return."""

    def __init__(self, nodes: list[Model], before: dict[int, dict[str, Any]], tables: dict[int, Tables]) -> None:
        self.arrays: list[Any] = []
        self._to_arrays: list[tuple[Model, str]] = []
        self._to_counters: list[tuple[Model, str, int]] = []
        self._to_others: list[tuple[Model, str, Any]] = []
        for node in nodes:
            for name, value in tables[node.id]._state.items():
                earlier = before[node.id].get(name)
                if value is earlier:
                    continue
                if isinstance(value, Counter):
                    added = value.added - (earlier.added if isinstance(earlier, Counter) else 0)
                    self._to_counters.append((node, name, added))
                elif node.ops.backend.is_array(value):
                    self._to_arrays.append((node, name))
                    self.arrays.append(value)
                else:
                    self._to_others.append((node, name, value))
        self.are_some = bool(self._to_arrays or self._to_counters or self._to_others)

    def apply(self, arrays: Sequence[Any]) -> None:
        """Do so, with the arrays that the program returned."""
        for node, name, added in self._to_counters:
            node._state[name] += added
        for (node, name), array in zip(self._to_arrays, arrays, strict=True):
            node._state[name] = array
        for node, name, value in self._to_others:
            node._state[name] = value
