"""One step of an optimizer over one array. Moments and averages go in and come out: the ones given may be
consumed, updated in place or freed, and must not be used again."""

from __future__ import annotations

import math

from triops.errors import ArgumentError
from triops.ops.base import OpsBase
from triops.types import FloatsXd

__all__ = ["UpdateOps"]


class UpdateOps(OpsBase):
    """sgd, adam, radam, clipping and averages. `decay` is the share of the weights that a step takes off,
    learn_rate · L2 in AdamW (Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization)."""

    def sgd(self, weights: FloatsXd, gradient: FloatsXd, learn_rate: float, decay: float = 0.0) -> FloatsXd:
        """W ← (1 - decay) W - learn_rate dW.

        weights, gradient: one shape. Returns the new weights.
        """
        self._same("sgd", weights=weights, gradient=gradient)
        W: FloatsXd = self._kernels["sgd"](weights, gradient, float(learn_rate), 1.0 - decay)
        return W

    def sgd_momentum(
        self,
        weights: FloatsXd,
        gradient: FloatsXd,
        velocity: FloatsXd,
        learn_rate: float,
        momentum: float,
        decay: float = 0.0,
        nesterov: bool = False,
    ) -> tuple[FloatsXd, FloatsXd]:
        """v ← momentum v + dW; W ← (1 - decay) W - learn_rate s, where s is v, or dW + momentum v for
        Nesterov's. Sutskever et al. 2013, On the importance of initialization and momentum.

        weights, gradient, velocity: one shape. Returns the new weights and velocity.
        """
        self._same("sgd_momentum", weights=weights, gradient=gradient, velocity=velocity)
        W, velocity = self._kernels["sgd_momentum"](
            weights,
            gradient,
            velocity,
            float(learn_rate),
            float(momentum),
            1.0 - decay,
            nesterov=bool(nesterov),
        )
        return W, velocity

    def adam(
        self,
        weights: FloatsXd,
        gradient: FloatsXd,
        mom1: FloatsXd,
        mom2: FloatsXd,
        beta1: float,
        beta2: float,
        eps: float,
        learn_rate: float,
        step: int,
        decay: float = 0.0,
    ) -> tuple[FloatsXd, FloatsXd, FloatsXd]:
        """m ← β₁ m + (1-β₁) dW; v ← β₂ v + (1-β₂) dW²;
        W ← (1 - decay) W - learn_rate (m / (1-β₁ᵗ)) / (√(v / (1-β₂ᵗ)) + eps), t = step.

        weights, gradient, mom1, mom2: one shape. step: from 1. Returns the new weights, mom1 and mom2.
        Kingma and Ba 2015, Adam, algorithm 1.
        """
        self._same("adam", weights=weights, gradient=gradient, mom1=mom1, mom2=mom2)
        self._step("adam", step)
        W, mom1, mom2 = self._kernels["adam"](
            weights,
            gradient,
            mom1,
            mom2,
            float(beta1),
            1.0 - beta1,
            float(beta2),
            1.0 - beta2,
            float(eps),
            learn_rate / (1.0 - beta1**step),
            math.sqrt(1.0 - beta2**step),
            1.0 - decay,
        )
        return W, mom1, mom2

    def radam(
        self,
        weights: FloatsXd,
        gradient: FloatsXd,
        mom1: FloatsXd,
        mom2: FloatsXd,
        beta1: float,
        beta2: float,
        eps: float,
        learn_rate: float,
        step: int,
        decay: float = 0.0,
    ) -> tuple[FloatsXd, FloatsXd, FloatsXd]:
        """Moments as in `adam`. With ρ∞ = 2/(1-β₂) - 1 and ρ = ρ∞ - 2t β₂ᵗ/(1-β₂ᵗ): where ρ > 5,
        W ← (1 - decay) W - learn_rate m/(1-β₁ᵗ) r √(1-β₂ᵗ)/(√v + eps), with
        r = √((ρ-4)(ρ-2)ρ∞ / ((ρ∞-4)(ρ∞-2)ρ)); before that, W ← (1 - decay) W - learn_rate m/(1-β₁ᵗ).

        Arguments and results as `adam`. Liu et al. 2020, On the Variance of the Adaptive Learning Rate and
        Beyond, with the threshold 5 of its reference code.
        """
        self._same("radam", weights=weights, gradient=gradient, mom1=mom1, mom2=mom2)
        self._step("radam", step)
        W, mom1, mom2 = self._kernels["radam"](
            weights,
            gradient,
            mom1,
            mom2,
            float(beta1),
            1.0 - beta1,
            float(beta2),
            1.0 - beta2,
            float(eps),
            learn_rate / (1.0 - beta1**step),
            _rectifier(beta2, step) * math.sqrt(1.0 - beta2**step),
            1.0 - decay,
        )
        return W, mom1, mom2

    def clip_gradient(self, gradient: FloatsXd, threshold: float) -> FloatsXd:
        """dW min(1, threshold / ‖dW‖), ‖·‖ the root of the sum of squares over all entries.

        gradient: any shape. threshold: above 0. Returns: as gradient.
        """
        self._floats("clip_gradient", gradient=gradient)
        if not threshold > 0:
            raise ArgumentError(f"clip_gradient: threshold must be above 0, got {threshold}")
        if gradient.size == 0 or threshold == math.inf:
            return gradient
        clipped: FloatsXd = self._kernels["clip_gradient"](gradient, float(threshold))
        return clipped

    def update_averages(self, ema: FloatsXd, weights: FloatsXd, t: int, max_decay: float = 0.9999) -> FloatsXd:
        """A moving average that warms up: ema + (1-d) (W - ema), d = min((1+t)/(10+t), max_decay).

        ema, weights: one shape. t: updates so far, from 0. Returns the new average.
        """
        self._same("update_averages", ema=ema, weights=weights)
        decay = min((1.0 + t) / (10.0 + t), max_decay)
        average: FloatsXd = self._kernels["update_averages"](ema, weights, 1.0 - decay)
        return average

    def _same(self, op: str, **arrays: FloatsXd) -> None:
        self._floats(op, **arrays)
        (first, reference), *others = arrays.items()
        for argument, array in others:
            self._shape(op, argument, array, tuple(reference.shape), f"as {first}")

    def _step(self, op: str, step: int) -> None:
        if step < 1:
            raise ArgumentError(f"{op}: step counts from 1, got {step}")


def _rectifier(beta2: float, step: int) -> float:
    """r of RAdam, or 0 where the variance cannot be rectified yet."""
    longest = 2.0 / (1.0 - beta2) - 1.0
    power = beta2**step
    length = longest - 2.0 * step * power / (1.0 - power)
    if length <= 5.0:
        return 0.0
    return math.sqrt((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length))
