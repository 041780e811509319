"""One step of an optimizer over one array, or over all of a model's in one call. Moments and averages go in and
come out: the ones given may be consumed, updated in place or freed, and must not be used again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from triops.errors import ArgumentError, DTypeError, ShapeError
from triops.ops.base import OpsBase
from triops.ops.formulas import FORMULAS
from triops.types import FloatsXd

__all__ = ["UpdateOps"]

Weights = TypeVar("Weights", FloatsXd, list[FloatsXd])


class UpdateOps(OpsBase):
    """sgd, adam, radam, clipping and averages. Where one array is expected, lists of as many arrays do as well:
    each is updated for itself, and lists are returned. `decay` is the share of the weights that a step takes
    off, learn_rate · L2 in AdamW (Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization)."""

    def sgd(self, weights: Weights, gradient: Weights, learn_rate: float, decay: float = 0.0) -> Weights:
        """W ← (1 - decay) W - learn_rate dW.

        weights, gradient: one shape. Returns the new weights.
        """
        self._same("sgd", "weights gradient", weights, gradient)
        W: Weights = self._each("sgd", (weights, gradient), float(learn_rate), 1.0 - float(decay))
        return W

    def sgd_momentum(
        self,
        weights: Weights,
        gradient: Weights,
        velocity: Weights,
        learn_rate: float,
        momentum: float,
        decay: float = 0.0,
        nesterov: bool = False,
    ) -> tuple[Weights, Weights]:
        """v ← momentum v + dW; W ← (1 - decay) W - learn_rate s, where s is v, or dW + momentum v for
        Nesterov's. Sutskever et al. 2013, On the importance of initialization and momentum.

        weights, gradient, velocity: one shape. Returns the new weights and velocity.
        """
        self._same("sgd_momentum", "weights gradient velocity", weights, gradient, velocity)
        W, velocity = self._each(
            "sgd_momentum",
            (weights, gradient, velocity),
            float(learn_rate),
            float(momentum),
            1.0 - float(decay),
            nesterov=bool(nesterov),
        )
        return W, velocity

    def adam(
        self,
        weights: Weights,
        gradient: Weights,
        mom1: Weights,
        mom2: Weights,
        beta1: float,
        beta2: float,
        eps: float,
        learn_rate: float,
        step: int,
        decay: float = 0.0,
    ) -> tuple[Weights, Weights, Weights]:
        """m ← β₁ m + (1-β₁) dW; v ← β₂ v + (1-β₂) dW²;
        W ← (1 - decay) W - learn_rate (m / (1-β₁ᵗ)) / (√(v / (1-β₂ᵗ)) + eps), t = step.

        weights, gradient, mom1, mom2: one shape. beta1, beta2: from 0 to below 1. step: from 1. Returns the new
        weights, mom1 and mom2. Kingma and Ba 2015, Adam, algorithm 1.
        """
        self._same("adam", "weights gradient mom1 mom2", weights, gradient, mom1, mom2)
        beta1, beta2 = self._rates("adam", beta1, beta2, step)
        W, mom1, mom2 = self._each(
            "adam",
            (weights, gradient, mom1, mom2),
            beta1,
            1.0 - beta1,
            beta2,
            1.0 - beta2,
            float(eps),
            float(learn_rate / (1.0 - beta1**step)),
            math.sqrt(1.0 - beta2**step),
            1.0 - float(decay),
        )
        return W, mom1, mom2

    def radam(
        self,
        weights: Weights,
        gradient: Weights,
        mom1: Weights,
        mom2: Weights,
        beta1: float,
        beta2: float,
        eps: float,
        learn_rate: float,
        step: int,
        decay: float = 0.0,
    ) -> tuple[Weights, Weights, Weights]:
        """Moments as in `adam`. With ρ∞ = 2/(1-β₂) - 1 and ρ = ρ∞ - 2t β₂ᵗ/(1-β₂ᵗ): where ρ > 5,
        W ← (1 - decay) W - learn_rate m/(1-β₁ᵗ) r √(1-β₂ᵗ)/(√v + eps), with
        r = √((ρ-4)(ρ-2)ρ∞ / ((ρ∞-4)(ρ∞-2)ρ)); before that, W ← (1 - decay) W - learn_rate m/(1-β₁ᵗ).

        Arguments and results as `adam`. Liu et al. 2020, On the Variance of the Adaptive Learning Rate and
        Beyond, with the threshold 5 of its reference code.
        """
        self._same("radam", "weights gradient mom1 mom2", weights, gradient, mom1, mom2)
        beta1, beta2 = self._rates("radam", beta1, beta2, step)
        W, mom1, mom2 = self._each(
            "radam",
            (weights, gradient, mom1, mom2),
            beta1,
            1.0 - beta1,
            beta2,
            1.0 - beta2,
            float(eps),
            float(learn_rate / (1.0 - beta1**step)),
            float(_rectifier(beta2, step) * math.sqrt(1.0 - beta2**step)),
            1.0 - float(decay),
        )
        return W, mom1, mom2

    def clip_gradient(self, gradient: Weights, threshold: float) -> Weights:
        """dW min(1, threshold / ‖dW‖), ‖·‖ the root of the sum of squares over all entries.

        gradient: any shape. threshold: above 0. Returns: as gradient.
        """
        self._same("clip_gradient", "gradient", gradient)
        if not threshold > 0:
            self._check_threshold("clip_gradient", threshold)
        if isinstance(gradient, list):
            together: Weights = self._shortened(
                gradient, threshold, lambda filled: self._each("clip_gradient", (filled,), float(threshold))
            )
            return together
        if threshold == math.inf or not gradient.size:
            return gradient
        clipped: Weights = self._kernels["clip_gradient"](gradient, float(threshold))
        return clipped

    def clip_global_norm(self, gradients: Sequence[FloatsXd], threshold: float) -> list[FloatsXd]:
        """dWᵢ min(1, threshold / √Σ‖dWᵢ‖²): all gradients shortened by one factor. Pascanu, Mikolov and Bengio
        2013, On the difficulty of training recurrent neural networks, section 3.2.

        gradients: any number of arrays of any shapes and one dtype. threshold: above 0. Returns: as gradients.
        """
        names = " ".join(f"gradients[{n}]" for n in range(len(gradients)))
        self._floats("clip_global_norm", names, *gradients)
        self._check_threshold("clip_global_norm", threshold)
        clipped: list[FloatsXd] = self._shortened(
            gradients, threshold, lambda filled: self._together("clip_global_norm", filled, float(threshold))
        )
        return clipped

    def update_averages(self, ema: Weights, weights: Weights, t: int, max_decay: float = 0.9999) -> Weights:
        """A moving average that warms up: ema + (1-d) (W - ema), d = min((1+t)/(10+t), max_decay).

        ema, weights: one shape. t: updates so far, from 0. Returns the new average.
        """
        self._same("update_averages", "ema weights", ema, weights)
        rest = 1.0 - float(min((1.0 + t) / (10.0 + t), max_decay))
        average: Weights = self._each("update_averages", (ema, weights), rest)
        return average

    def _each(self, op: str, arrays: tuple[Any, ...], *numbers: float, **settings: bool) -> Any:
        if not isinstance(arrays[0], list):
            return self._kernels[op](*arrays, *numbers, **settings)
        if not arrays[0]:
            return [] if len(arrays) < 3 else tuple([] for _ in arrays[1:])
        if op not in self._list_kernels:
            self._list_kernels[op] = self.backend.over_lists(op, FORMULAS[op])
        return self._list_kernels[op](arrays, *numbers, **settings)

    def _together(self, op: str, arrays: list[FloatsXd], *numbers: float) -> Any:
        return self._kernels[op](arrays, *numbers)

    def _same(self, op: str, names: str, *arrays: Any) -> None:
        """Check that all arrays have the first one's shape and dtype, or that all are lists of such arrays."""
        if self._are_alike(arrays):
            return
        reference = arrays[0]
        first, *others = names.split()
        if not isinstance(reference, list):
            self._floats(op, names, *arrays)
            for argument, array in zip(others, arrays[1:], strict=True):
                self._shape(op, argument, array, reference.shape, f"as {first}")
            return
        for argument, array in zip(others, arrays[1:], strict=True):
            if not isinstance(array, list):
                raise DTypeError(f"{op}: {argument} must be a list, as {first} is, got {type(array).__name__}")
            if len(array) != len(reference):
                raise ShapeError(
                    f"{op}: {argument} must be a list of {len(reference)}, as {first}, got {len(array)}"
                )
        for n, each in enumerate(zip(*arrays, strict=True)):
            if not self._are_alike(each):
                self._same(op, " ".join(f"{argument}[{n}]" for argument in (first, *others)), *each)

    def _are_alike(self, arrays: tuple[Any, ...]) -> bool:
        """Whether it is seen at once that arrays are floating, of these ops, and of one shape and dtype."""
        first, owned = arrays[0], self._owned_types
        if type(first) not in owned or first.dtype.kind != "f":
            return False
        dtype, shape = first.dtype, first.shape
        for array in arrays[1:]:
            if type(array) not in owned or array.dtype is not dtype or array.shape != shape:
                return False
        return True

    def _check_threshold(self, op: str, threshold: float) -> None:
        if not threshold > 0:
            raise ArgumentError(f"{op}: threshold must be above 0, got {threshold}")

    def _shortened(
        self, gradients: Sequence[FloatsXd], threshold: float, clip: Callable[[list[FloatsXd]], list[FloatsXd]]
    ) -> Any:
        filled = [each for each in gradients if each.size]
        if threshold == math.inf or not filled:
            return list(gradients)
        clipped = iter(clip(filled))
        return [next(clipped) if each.size else each for each in gradients]

    def _rates(self, op: str, beta1: float, beta2: float, step: int) -> tuple[float, float]:
        """beta1 and beta2, where they and the step are what bias can be corrected for."""
        if step < 1:
            raise ArgumentError(f"{op}: step counts from 1, got {step}")
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if not 0.0 <= beta < 1.0:
                raise ArgumentError(f"{op}: {name} must be from 0 to below 1, got {beta}")
        return float(beta1), float(beta2)


def _rectifier(beta2: float, step: int) -> float:
    """r of RAdam, or 0 where the variance cannot be rectified yet."""
    longest = 2.0 / (1.0 - beta2) - 1.0
    power = beta2**step
    length = longest - 2.0 * step * power / (1.0 - power)
    if length <= 5.0:
        return 0.0
    return math.sqrt((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length))
