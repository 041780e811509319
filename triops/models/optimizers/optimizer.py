"""Optimizers: what is remembered of each parameter, and which op makes the step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from triops.errors import ShapeError
from triops.models.optimizers.schedules import as_schedule
from triops.ops import Ops, ops_of
from triops.types import FloatsXd, ParamKey, Schedule

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RAdam"]


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
    parameter's gradient, 0 for any. use_averages: keep a moving average of each parameter in `averages`, for
    `with model.use_params(optimizer.averages)`.
    """

    learn_rate = _Scheduled()
    L2 = _Scheduled()
    grad_clip = _Scheduled()

    def __init__(
        self,
        learn_rate: Schedule,
        *,
        L2: Schedule = 0.0,
        grad_clip: Schedule = 1.0,
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
        self.L2_is_weight_decay = L2_is_weight_decay

    def __call__(
        self, key: ParamKey, weights: FloatsXd, gradient: FloatsXd, *, lr_scale: float = 1.0
    ) -> tuple[FloatsXd, FloatsXd]:
        """The weights after one update, and the gradient as it was given.

        key: what the optimizer remembers the parameter by. weights, gradient: one shape, any shape. lr_scale:
        a factor on the learning rate of this call. Raises ShapeError where the shapes differ from each other
        or from the last call with this key.
        """
        ops = ops_of(weights)
        ops.check_owner(type(self).__name__, "gradient", gradient)
        if tuple(weights.shape) != tuple(gradient.shape):
            raise ShapeError(
                f"{type(self).__name__}: gradient of {key} must have the shape of its weights, "
                f"{tuple(weights.shape)}, got {tuple(gradient.shape)}"
            )
        if gradient.size == 0:
            return weights, gradient
        count = self.nr_update.get(key, 0) + 1
        self.updates = max(self.updates, count)
        L2, learn_rate = self.L2, self.learn_rate * lr_scale
        used = gradient
        if L2 and not self.L2_is_weight_decay:
            used = used + L2 * weights
        if self.grad_clip:
            used = ops.clip_gradient(used, self.grad_clip)
        decay = learn_rate * L2 if self.L2_is_weight_decay else 0.0
        weights = self.update(ops, key, weights, used, learn_rate, count, decay)
        self.nr_update[key] = count
        if self.averages is not None:
            before = self.averages.get(key, weights)
            self.averages[key] = ops.update_averages(before, weights, count)
        return weights, gradient

    @abstractmethod
    def update(
        self,
        ops: Ops,
        key: ParamKey,
        weights: FloatsXd,
        gradient: FloatsXd,
        learn_rate: float,
        count: int,
        decay: float,
    ) -> FloatsXd:
        """The weights after the `count`-th update of this parameter, from 1."""

    def step_schedules(self) -> None:  # noqa: B027 - it is meant to do nothing
        """For loops written for Thinc: nothing, since schedules here follow the updates by themselves."""

    def _moment(self, ops: Ops, moments: dict[ParamKey, FloatsXd], key: ParamKey, like: FloatsXd) -> Any:
        if key not in moments:
            moments[key] = ops.alloc(like.shape, like.dtype)
        return moments[key]


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

    def update(
        self,
        ops: Ops,
        key: ParamKey,
        weights: FloatsXd,
        gradient: FloatsXd,
        learn_rate: float,
        count: int,
        decay: float,
    ) -> FloatsXd:
        momentum = self.momentum
        if not momentum:
            return ops.sgd(weights, gradient, learn_rate, decay)
        velocity = self._moment(ops, self.mom1, key, weights)
        weights, self.mom1[key] = ops.sgd_momentum(
            weights, gradient, velocity, learn_rate, momentum, decay, self.nesterov
        )
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

    def update(
        self,
        ops: Ops,
        key: ParamKey,
        weights: FloatsXd,
        gradient: FloatsXd,
        learn_rate: float,
        count: int,
        decay: float,
    ) -> FloatsXd:
        weights, self.mom1[key], self.mom2[key] = getattr(ops, self.rule)(
            weights,
            gradient,
            self._moment(ops, self.mom1, key, weights),
            self._moment(ops, self.mom2, key, weights),
            self.beta1,
            self.beta2,
            self.eps,
            learn_rate,
            count,
            decay,
        )
        return weights


class AdamW(Adam):
    """Adam with weight decay, L2 0.01 unless another is given. Loshchilov and Hutter 2019."""

    def __init__(self, learn_rate: Schedule = 0.001, *, L2: Schedule = 0.01, **options: Any) -> None:
        super().__init__(learn_rate, L2=L2, **options)


class RAdam(Adam):
    """`ops.radam`. Liu et al. 2020."""

    rule = "radam"
