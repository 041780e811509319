"""Optimizers: what is remembered of each parameter, and which op makes the step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

from triops.errors import ShapeError
from triops.models.optimizers.schedules import as_schedule
from triops.ops import Ops, ops_of
from triops.types import FloatsXd, ParamKey, Schedule

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RAdam"]

Group = TypeVar("Group", bound=Hashable)


class _Scheduled:
    """A setting that may be a schedule; reading it gives the number of the latest update."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, optimizer: Optimizer, value: Schedule) -> None:
        optimizer.schedules[self._name] = as_schedule(self._name, value)

    def __get__(self, optimizer: Optimizer, owner: type) -> float:
        return optimizer.schedules[self._name](max(optimizer.updates - 1, 0))


class Optimizer(ABC):
    """`weights, gradient = optimizer(key, weights, gradient)`, with Thinc's settings.

    Every number may be a schedule: an iterable, or a callable of the number of updates so far. `updates`
    counts the updates of the parameter that had most, so all parameters follow one clock, and a schedule moves
    on by itself.

    learn_rate: the step size. L2: the share of the weights that is added to the gradient, or, where
    `L2_is_weight_decay`, taken off the weights, times learn_rate. grad_clip: the largest norm of one
    parameter's gradient, 0 for any. global_clip: the largest norm of all gradients of an update together, 0 for
    any. use_averages: keep a moving average of each parameter in `averages`, for
    `with model.use_params(optimizer.averages)`.
    """

    learn_rate = _Scheduled()
    L2 = _Scheduled()
    grad_clip = _Scheduled()
    global_clip = _Scheduled()

    def __init__(
        self,
        learn_rate: Schedule,
        *,
        L2: Schedule = 0.0,
        grad_clip: Schedule = 1.0,
        global_clip: Schedule = 0.0,
        L2_is_weight_decay: bool = True,
        use_averages: bool = True,
    ) -> None:
        self.schedules: dict[str, Callable[[int], float]] = {}
        self.updates = 0
        self.nr_update: dict[ParamKey, int] = {}
        self.mom1: dict[ParamKey, FloatsXd] = {}
        self.mom2: dict[ParamKey, FloatsXd] = {}
        self.averages: dict[ParamKey, FloatsXd] | None = {} if use_averages else None
        self.learn_rate = learn_rate
        self.L2 = L2
        self.grad_clip = grad_clip
        self.global_clip = global_clip
        self.L2_is_weight_decay = L2_is_weight_decay

    def __call__(
        self, key: ParamKey, weights: FloatsXd, gradient: FloatsXd, *, lr_scale: float = 1.0
    ) -> tuple[FloatsXd, FloatsXd]:
        """The weights after one update, and the gradient as it was given.

        key: what the optimizer remembers the parameter by. weights, gradient: one shape, any shape. lr_scale:
        a factor on the learning rate of this call. Raises ShapeError where the shapes differ from each other
        or from the last call with this key.
        """
        return self.update_all({key: (weights, gradient)}, lr_scale=lr_scale)[key], gradient

    def update_all(
        self, parameters: Mapping[ParamKey, tuple[FloatsXd, FloatsXd]], *, lr_scale: float = 1.0
    ) -> dict[ParamKey, FloatsXd]:
        """The weights after one update of several parameters, in a few calls of the ops for all of them.

        parameters: weights and gradient by key, each pair of one shape. Errors as in a call of the optimizer.
        """
        owners = {key: self._checked(key, *pair) for key, pair in parameters.items()}
        filled = [key for key, (_, gradient) in parameters.items() if gradient.size]
        counts = {key: self.nr_update.get(key, 0) + 1 for key in filled}
        self.updates = max(self.updates, *counts.values(), 0)
        updated = {key: weights for key, (weights, _) in parameters.items()}
        for ops, keys in _grouped(filled, owners.__getitem__).items():
            gradients = self._prepared(ops, {key: parameters[key] for key in keys})
            # Parameters that were updated equally often share the numbers of a step, and so a call.
            for count, alike in _grouped(keys, counts.__getitem__).items():
                updated |= self._step(ops, updated, gradients, alike, count, self.learn_rate * lr_scale)
        return updated

    def _checked(self, key: ParamKey, weights: FloatsXd, gradient: FloatsXd) -> Ops:
        """The ops that own both arrays, of one shape."""
        name, shape, ops = type(self).__name__, weights.shape, ops_of(weights)
        ops.check_owner(name, "gradient", gradient)
        if gradient.shape != shape:
            raise ShapeError(
                f"{name}: gradient of {key} must have the shape of its weights, {tuple(shape)}, got "
                f"{tuple(gradient.shape)}"
            )
        moment = self.mom1.get(key)
        if moment is not None and moment.shape != shape:
            raise ShapeError(
                f"{name}: weights of {key} had shape {tuple(moment.shape)} in the last update, got "
                f"{tuple(shape)}: take a new optimizer for another model"
            )
        return ops

    def _prepared(
        self, ops: Ops, parameters: Mapping[ParamKey, tuple[FloatsXd, FloatsXd]]
    ) -> dict[ParamKey, FloatsXd]:
        """The gradients with L2, where it belongs to them, and clipped."""
        used = [gradient for _, gradient in parameters.values()]
        if (L2 := self.L2) and not self.L2_is_weight_decay:
            # gradient + L2 weights, as an op, whose numbers a compiled step takes anew each time.
            used = ops.sgd(used, [weights for weights, _ in parameters.values()], -L2)
        if self.grad_clip:
            used = ops.clip_gradient(used, self.grad_clip)
        if self.global_clip:
            used = ops.clip_global_norm(used, self.global_clip)
        return dict(zip(parameters, used, strict=True))

    def _step(
        self,
        ops: Ops,
        weights: Mapping[ParamKey, FloatsXd],
        gradients: Mapping[ParamKey, FloatsXd],
        keys: list[ParamKey],
        count: int,
        learn_rate: float,
    ) -> dict[ParamKey, FloatsXd]:
        before, used = ([arrays[key] for key in keys] for arrays in (weights, gradients))
        decay = learn_rate * self.L2 if self.L2_is_weight_decay else 0.0
        after = self.update(ops, keys, before, used, learn_rate, count, decay)
        self.nr_update.update(dict.fromkeys(keys, count))
        if self.averages is not None:
            averages = [self.averages.get(key, W) for key, W in zip(keys, after, strict=True)]
            self.averages.update(zip(keys, ops.update_averages(averages, after, count), strict=True))
        return dict(zip(keys, after, strict=True))

    @abstractmethod
    def update(
        self,
        ops: Ops,
        keys: list[ParamKey],
        weights: list[FloatsXd],
        gradients: list[FloatsXd],
        learn_rate: float,
        count: int,
        decay: float,
    ) -> list[FloatsXd]:
        """The weights after the `count`-th update of these parameters, from 1."""

    @property
    def moments(self) -> tuple[str, ...]:
        """The names of the tables of arrays that an update needs, by key, beside the averages."""
        return ()

    def step_schedules(self) -> None:  # noqa: B027 - it is meant to do nothing
        """For loops written for Thinc: nothing, since schedules here follow the updates by themselves."""

    def _moments(
        self, ops: Ops, known: dict[ParamKey, FloatsXd], keys: list[ParamKey], like: list[FloatsXd]
    ) -> list[FloatsXd]:
        for key, array in zip(keys, like, strict=True):
            if key not in known:
                known[key] = ops.alloc(array.shape, array.dtype)
        return [known[key] for key in keys]


def _grouped(keys: Iterable[ParamKey], group_of: Callable[[ParamKey], Group]) -> dict[Group, list[ParamKey]]:
    groups: dict[Group, list[ParamKey]] = {}
    for key in keys:
        groups.setdefault(group_of(key), []).append(key)
    return groups


class SGD(Optimizer):
    """Stochastic gradient descent, `ops.sgd`, with `momentum` above 0 `ops.sgd_momentum`."""

    momentum = _Scheduled()

    def __init__(
        self,
        learn_rate: Schedule,
        *,
        momentum: Schedule = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learn_rate, **options)
        self.momentum = momentum
        self.nesterov = nesterov

    @property
    def moments(self) -> tuple[str, ...]:
        return ("mom1",) if self.momentum else ()

    def update(
        self,
        ops: Ops,
        keys: list[ParamKey],
        weights: list[FloatsXd],
        gradients: list[FloatsXd],
        learn_rate: float,
        count: int,
        decay: float,
    ) -> list[FloatsXd]:
        momentum = self.momentum
        if not momentum:
            return ops.sgd(weights, gradients, learn_rate, decay)
        velocities = self._moments(ops, self.mom1, keys, weights)
        weights, velocities = ops.sgd_momentum(
            weights, gradients, velocities, learn_rate, momentum, decay, self.nesterov
        )
        self.mom1.update(zip(keys, velocities, strict=True))
        return weights


class Adam(Optimizer):
    """`ops.adam`. Kingma and Ba 2015."""

    rule = "adam"
    beta1 = _Scheduled()
    beta2 = _Scheduled()
    eps = _Scheduled()

    def __init__(
        self,
        learn_rate: Schedule = 0.001,
        *,
        beta1: Schedule = 0.9,
        beta2: Schedule = 0.999,
        eps: Schedule = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__(learn_rate, **options)
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps

    @property
    def moments(self) -> tuple[str, ...]:
        return "mom1", "mom2"

    def update(
        self,
        ops: Ops,
        keys: list[ParamKey],
        weights: list[FloatsXd],
        gradients: list[FloatsXd],
        learn_rate: float,
        count: int,
        decay: float,
    ) -> list[FloatsXd]:
        weights, mom1, mom2 = getattr(ops, self.rule)(
            weights,
            gradients,
            self._moments(ops, self.mom1, keys, weights),
            self._moments(ops, self.mom2, keys, weights),
            self.beta1,
            self.beta2,
            self.eps,
            learn_rate,
            count,
            decay,
        )
        self.mom1.update(zip(keys, mom1, strict=True))
        self.mom2.update(zip(keys, mom2, strict=True))
        return weights


class AdamW(Adam):
    """Adam with weight decay, L2 0.01 unless another is given. Loshchilov and Hutter 2019."""

    def __init__(self, learn_rate: Schedule = 0.001, *, L2: Schedule = 0.01, **options: Any) -> None:
        super().__init__(learn_rate, L2=L2, **options)


class RAdam(Adam):
    """`ops.radam`. Liu et al. 2020."""

    rule = "radam"
