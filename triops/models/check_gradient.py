"""A test of any model's backward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from triops.errors import GradientError, UninitializedError
from triops.models.guard import path_of
from triops.models.model import Model
from triops.models.seeds import derive_seed
from triops.models.trees import leaves, map_arrays
from triops.ops.base import is_float

__all__ = ["GradientCheck", "check_gradient"]

_STEP = 1e-6


@dataclass(frozen=True)
class GradientCheck:
    """One gradient along one random direction: what the backward pass says, and finite differences."""

    name: str
    analytic: float
    numeric: float
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than rounding and curvature explain."""
        return abs(self.analytic - self.numeric) <= self.allowed


def check_gradient(
    model: Model,
    X: Any,
    *,
    drop: float = 0.0,
    seed: int = 0,
    rtol: float = 1e-4,
    directions: int = 2,
) -> list[GradientCheck]:
    """Compare a model's gradients, of each parameter and of its input, with central finite differences of
    Σ R Y, for a random R, along random directions, in float64.

    model: any initialized Model; it is copied, not changed. X: an input of the model, an array or a list of
    them; float arrays are converted to float64, and integers have no gradient. drop: given to `begin_update`;
    the same masks are drawn every time. rtol: what a gradient may differ by, relative to its norm.

    Returns every comparison. Raises GradientError, naming the layer's path and the parameter, where one
    disagrees, and UninitializedError where the model has parameters without values. Parameters that are all zero
    are tested at small random values, since a zero hides errors.
    """
    checker = _Checker(model.copy().astype("float64"), X, drop, seed)
    checks = [check for _ in range(directions) for check in checker.all_directions(rtol)]
    wrong = [check for check in checks if not check.agrees]
    if wrong:
        lines = [
            f"{check.name}: backprop says {check.analytic:.8g} along a random direction, finite differences "
            f"say {check.numeric:.8g} (allowed difference {check.allowed:.2g})"
            for check in wrong
        ]
        raise GradientError("wrong gradient of " + "; of ".join(dict.fromkeys(lines)))
    return checks


class _Checker:
    def __init__(self, model: Model, X: Any, drop: float, seed: int) -> None:
        self.model, self.drop = model, drop
        self._seed, self._draws = seed, 0
        self._shake_zeros()
        self._state = [copy.copy(node._state) for node in model.walk()]
        self.X = map_arrays(self._to_float64, X)
        self.model.clear_grads()
        Y, backprop = self._forward(self.X)
        self.R = map_arrays(lambda y: self._normal(y.shape), Y)
        dY = self.R
        if model.expects_logit_gradient:
            dY = map_arrays(lambda y, r: model.ops.backprop_softmax(y, r), Y, self.R)
        self.dX = backprop(dY)

    def all_directions(self, rtol: float) -> list[GradientCheck]:
        checks = []
        for node in self.model.walk():
            for name in node.param_names:
                if is_float(node.get_param(name).dtype):
                    checks.append(self._along_param(node, name, rtol))
        if _all_floats(self.X):
            checks.append(self._along_input(rtol))
        return checks

    def _along_param(self, node: Model, name: str, rtol: float) -> GradientCheck:
        W = node.get_param(name)
        V = self._signs(W.shape)
        gradient = node.get_grad(name) if node.has_grad(name) else 0 * V

        def loss_at(step: float) -> float:
            with self.model.use_params({(node.id, name): W + step * V}):
                return self._loss(self.X)

        label = f"{path_of(self.model, node)}: parameter {name}"
        return self._compare(label, [(gradient, V)], loss_at, rtol)

    def _along_input(self, rtol: float) -> GradientCheck:
        V = map_arrays(lambda x: self._signs(x.shape), self.X)
        dX = map_arrays(lambda v: 0 * v, V) if self.dX is None else self.dX
        if [dx.shape for dx in leaves(dX)] != [v.shape for v in leaves(V)]:
            raise GradientError(
                f"wrong gradient of {self.model.name}: the input X: backprop returns the shapes "
                f"{[tuple(dx.shape) for dx in leaves(dX)]}, X has {[tuple(v.shape) for v in leaves(V)]}"
            )

        def loss_at(step: float) -> float:
            return self._loss(map_arrays(lambda x, v: x + step * v, self.X, V))

        return self._compare(
            f"{self.model.name}: the input X",
            list(zip(leaves(dX), leaves(V), strict=True)),
            loss_at,
            rtol,
        )

    def _compare(
        self, name: str, gradients: list[tuple[Any, Any]], loss_at: Callable[[float], float], rtol: float
    ) -> GradientCheck:
        analytic = sum(float((gradient * V).sum()) for gradient, V in gradients)
        norm = sum(float((gradient * gradient).sum()) for gradient, _ in gradients) ** 0.5
        above, below = loss_at(_STEP), loss_at(-_STEP)
        numeric = (above - below) / (2 * _STEP)
        rounding = 1e-15 * (abs(above) + abs(below)) / _STEP
        return GradientCheck(name, analytic, numeric, rtol * max(norm, abs(numeric)) + 10 * rounding + 1e-9)

    def _loss(self, X: Any) -> float:
        Y = self._forward(X)[0]
        return sum(float((y * r).sum()) for y, r in zip(leaves(Y), leaves(self.R), strict=True))

    def _forward(self, X: Any) -> Any:
        for node, state in zip(self.model.walk(), self._state, strict=True):
            node._state = copy.copy(state)
        return self.model.begin_update(X, self.drop)

    def _shake_zeros(self) -> None:
        for node in self.model.walk():
            for name in node.param_names:
                if not node.has_param(name):
                    raise UninitializedError(
                        f"check_gradient: {path_of(self.model, node)} has no parameter {name} yet: call "
                        f"model.initialize(X, Y) first"
                    )
                W = node.get_param(name)
                if is_float(W.dtype) and W.size and not bool((W != 0).any()):
                    node.set_param(name, 0.1 * self._normal(W.shape))

    def _to_float64(self, x: Any) -> Any:
        ops = self.model.ops
        if not ops.backend.is_array(x):
            return x
        return ops.asarray(x, "float64") if is_float(x.dtype) else x

    def _normal(self, shape: Any) -> Any:
        return self.model.ops.draw_normal(self._next_seed(), shape, dtype="float64")

    def _signs(self, shape: Any) -> Any:
        draws: Any = self.model.ops.draw_uniform(self._next_seed(), shape, dtype="float64")
        return 2.0 * (draws < 0.5).astype("float64") - 1.0

    def _next_seed(self) -> int:
        self._draws += 1
        return derive_seed(self._seed, "check_gradient", self._draws)


def _all_floats(tree: Any) -> bool:
    return all(hasattr(leaf, "dtype") and is_float(leaf.dtype) for leaf in leaves(tree))
