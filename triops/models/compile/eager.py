"""Models with layers that no compiler can take, such as those of other frameworks: refused, or, where that is
asked for, run with a program for each part between these layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from triops.errors import ArgumentError, CompileError
from triops.models.combinators.chain import chain
from triops.models.guard import path_of
from triops.models.model import Model
from triops.models.stand_ins import StandIn, standing_in
from triops.types import Backprop

__all__ = ["Parts", "has_untraceable", "refuse_untraceable"]


def has_untraceable(model: Model) -> bool:
    """Whether some layer cannot be compiled, by its own word."""
    return any(node.untraceable for node in model.walk())


def refuse_untraceable(model: Model) -> None:
    """Raise CompileError where there is such a layer."""
    for node in model.walk():
        if node.untraceable:
            raise CompileError(
                f"{path_of(model, node)} cannot be compiled: {node.untraceable}: give eager=True, which runs it "
                f"as it is between compiled parts, or keep it out of what is compiled"
            )


class Parts:
    """A model with such layers: what can be compiled is, in parts as large as they can be. Combinators around the
    others run as they are.

    model: the model. compiled: makes a compiled model of a part.
    """

    def __init__(self, model: Model, compiled: Callable[[Model], Any]) -> None:
        self._model, self._compiled = model, compiled
        self._made: tuple[list[Any], list[Any], dict[int, StandIn], dict[int, StandIn]] = [], [], {}, {}

    @property
    def compilations(self) -> int:
        """Of all parts together."""
        return sum(part.compilations for part in self._made[1])

    def begin_update(self, X: Any, drop: float | None) -> tuple[Any, Backprop]:
        """As the model's."""
        with standing_in(self._now()[2]):
            return self._model.begin_update(X, drop)

    def predict(self, X: Any) -> Any:
        """As the model's."""
        with standing_in(self._now()[3]):
            return self._model.predict(X)

    def _now(self) -> tuple[list[Any], list[Any], dict[int, StandIn], dict[int, StandIn]]:
        """The structure that the parts are of, the parts, and what stands in for layers in training and in
        predicting."""
        nodes = list(self._model.walk())
        structure = [(node, node.untraceable, node.ops, list(node.layers)) for node in nodes]
        if structure != self._made[0]:
            rest = {id(node) for node in nodes if has_untraceable(node)}
            build = _Build(self._compiled, rest)
            build.visit(self._model)
            self._made = structure, build.parts, build.training, build.predicting
        return self._made


class _Build:
    """The parts of one structure. rest: the layers that are no parts, by `id()`."""

    def __init__(self, compiled: Callable[[Model], Any], rest: set[int]) -> None:
        self._compiled, self._rest = compiled, rest
        self.parts: list[Any] = []
        self.training: dict[int, StandIn] = {}
        self.predicting: dict[int, StandIn] = {}

    def visit(self, node: Model) -> None:
        if id(node) not in self._rest:
            self.training[id(node)], self.predicting[id(node)] = self._part(node)
        elif not node.untraceable:
            if type(node) is chain:
                self._join(node)
            for layer in node.layers:
                if not (type(node) is chain and id(layer) not in self._rest):
                    self.visit(layer)

    def _join(self, node: Model) -> None:
        """One part for all layers of a chain that follow each other."""
        training: list[StandIn] = []
        predicting: list[StandIn] = []
        for is_rest, group in groupby(node.layers, lambda layer: id(layer) in self._rest):
            layers = list(group)
            if is_rest:
                training += [layer.begin_update for layer in layers]
                predicting += [layer.begin_update for layer in layers]
            else:
                train, predict = self._part(layers[0] if len(layers) == 1 else chain(*layers))
                training.append(train)
                predicting.append(predict)
        self.training[id(node)] = _after_each_other(training)
        self.predicting[id(node)] = _after_each_other(predicting)

    def _part(self, model: Model) -> tuple[StandIn, StandIn]:
        part = self._compiled(model)
        self.parts.append(part)

        def train(X: Any, drop: float | None) -> tuple[Any, Backprop]:
            with standing_in(None):
                return part.begin_update(X, drop)  # type: ignore[no-any-return]

        def predict(X: Any, drop: float | None) -> tuple[Any, Backprop]:
            with standing_in(None):
                return part.predict(X), _nothing_recorded

        return train, predict


def _after_each_other(steps: Sequence[StandIn]) -> StandIn:
    def run(X: Any, drop: float | None) -> tuple[Any, Backprop]:
        callbacks = []
        for step in steps:
            X, callback = step(X, drop)
            callbacks.append(callback)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            for callback in reversed(callbacks):
                dY = callback(dY)
            return dY

        return X, backprop

    return run


def _nothing_recorded(dY: Any, sgd: Any = None) -> Any:
    raise ArgumentError("predict records nothing to go back through: call begin_update")
