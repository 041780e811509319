"""Optimizer steps, each in one pass over its arrays. Moments are updated where they are, which the ops allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat, floats
from triops.backends.numpy.compiled.build import Kernel, on_one_thread
from triops.backends.numpy.compiled.jit import called, summed
from triops.backends.numpy.compiled.scalar import F

__all__ = ["FEW", "SGD", "UPDATES"]

_THRESHOLD = 32_768  # entries from which a second thread pays
_SUMMED = 4096  # entries of a slice whose squares are added up


def sgd_step(W: Any, dW: Any, out: Any, learn_rate: Any, keep: Any) -> None:
    for i in range(out.size):
        out[i] = keep * W[i] - learn_rate * dW[i]


def sgd_momentum_step(
    W: Any, dW: Any, velocity: Any, out: Any, learn_rate: Any, momentum: Any, keep: Any, ahead: Any
) -> None:
    for i in range(out.size):
        v = momentum * velocity[i] + dW[i]
        velocity[i] = v
        step = dW[i] + momentum * v if ahead else v
        out[i] = keep * W[i] - learn_rate * step


def adam_step(
    W: Any, dW: Any, mom1: Any, mom2: Any, out: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any,
    eps: Any, rate: Any, inverse_root: Any, keep: Any,
) -> None:  # fmt: skip
    for i in range(out.size):
        g = dW[i]
        m = beta1 * mom1[i] + rest1 * g
        v = beta2 * mom2[i] + rest2 * g * g
        mom1[i] = m
        mom2[i] = v
        out[i] = keep * W[i] - rate * m / (np.sqrt(v) * inverse_root + eps)


def radam_step(
    W: Any, dW: Any, mom1: Any, mom2: Any, out: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any,
    eps: Any, rate: Any, rectifier: Any, keep: Any,
) -> None:  # fmt: skip
    for i in range(out.size):
        g = dW[i]
        m = beta1 * mom1[i] + rest1 * g
        v = beta2 * mom2[i] + rest2 * g * g
        mom1[i] = m
        mom2[i] = v
        adaptive = rectifier / (np.sqrt(v) + eps) if rectifier > F(0) else F(1)
        out[i] = keep * W[i] - rate * m * adaptive


def average_step(ema: Any, W: Any, out: Any, rest: Any) -> None:
    for i in range(out.size):
        out[i] = ema[i] + rest * (W[i] - ema[i])


@summed
def square_sum(X: Any) -> float:
    total = 0.0  # float64 holds the square of any float32
    for i in range(X.size):
        x = np.float64(X[i])
        total += x * x
    return total


def square_sums(X: Any, sums: Any, part: int) -> None:
    sums[part] = square_sum(X)


def scale_array(X: Any, out: Any, scale: Any) -> None:
    for i in range(out.size):
        out[i] = X[i] * scale


def clip_entries(X: Any, out: Any, threshold: float) -> bool:
    # Returns whether they were too long.
    norm = math.sqrt(square_sum(X))
    if norm <= threshold:
        return False
    scale = F(threshold / norm)
    for i in range(out.size):
        out[i] = X[i] * scale
    return True


# Small arrays in direct calls, with the numbers that the ops make of their arguments. A method is called where
# these return 1; where they return 2 the gradient is the result.


def adam_few(
    W: Any, dW: Any, mom1: Any, mom2: Any, out: Any, beta1: float, beta2: float, eps: float, learn_rate: float,
    step: int,
) -> int:  # fmt: skip
    if not (beta1 < 1.0 and beta2 < 1.0 and step >= 1):
        return 1
    rate = learn_rate / (1.0 - math.pow(beta1, step))
    root = math.sqrt(1.0 - math.pow(beta2, step))
    betas = F(beta1), F(1.0 - beta1), F(beta2), F(1.0 - beta2)
    _adam_step(W, dW, mom1, mom2, out, *betas, F(eps), F(rate), F(1.0 / root), F(1))
    return 0


def radam_few(
    W: Any, dW: Any, mom1: Any, mom2: Any, out: Any, beta1: float, beta2: float, eps: float, learn_rate: float,
    step: int,
) -> int:  # fmt: skip
    if not (beta1 < 1.0 and beta2 < 1.0 and step >= 1):
        return 1
    rate = learn_rate / (1.0 - math.pow(beta1, step))
    power, longest = math.pow(beta2, step), 2.0 / (1.0 - beta2) - 1.0
    length, rectifier = longest - 2.0 * step * power / (1.0 - power), 0.0
    if length > 5.0:
        squared = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
        rectifier = math.sqrt(squared) * math.sqrt(1.0 - power)
    betas = F(beta1), F(1.0 - beta1), F(beta2), F(1.0 - beta2)
    _radam_step(W, dW, mom1, mom2, out, *betas, F(eps), F(rate), F(rectifier), F(1))
    return 0


def sgd_momentum_few(W: Any, dW: Any, velocity: Any, out: Any, learn_rate: float, momentum: float) -> int:
    _sgd_momentum_step(W, dW, velocity, out, F(learn_rate), F(momentum), F(1), False)
    return 0


def update_averages_few(ema: Any, W: Any, out: Any, t: int, max_decay: float) -> int:
    _average_step(ema, W, out, F(1.0 - min((1.0 + t) / (10.0 + t), max_decay)))
    return 0


def clip_gradient_few(X: Any, out: Any, threshold: float) -> int:
    return 0 if _clip(X, out, threshold) else 2


_adam_step, _sgd_momentum_step = called(adam_step), called(sgd_momentum_step)
_average_step, _clip, _radam_step = called(average_step), called(clip_entries), called(radam_step)
FEW = {
    "adam": Kernel(adam_few, globals(), {}, threshold=_THRESHOLD, exact=True),
    "radam": Kernel(radam_few, globals(), {}, threshold=_THRESHOLD, exact=True),
    "sgd_momentum": Kernel(sgd_momentum_few, globals(), {}, threshold=_THRESHOLD, exact=True),
    "update_averages": Kernel(update_averages_few, globals(), {}, threshold=_THRESHOLD, exact=True),
    "clip_gradient": Kernel(clip_gradient_few, globals(), {}, threshold=2 * _SUMMED, exact=True),
}


def _kernel(function: Callable[..., None], *sliced: str) -> Kernel:
    return Kernel(function, globals(), dict.fromkeys(sliced, 1), threshold=_THRESHOLD)


SGD = _kernel(sgd_step, "W", "dW", "out")
_sgd_momentum = _kernel(sgd_momentum_step, "W", "dW", "velocity", "out")
_adam = _kernel(adam_step, "W", "dW", "mom1", "mom2", "out")
_radam = _kernel(radam_step, "W", "dW", "mom1", "mom2", "out")
_average = _kernel(average_step, "ema", "W", "out")
_scale = _kernel(scale_array, "X", "out")
_square_sums = _kernel(square_sums, "X")
_clip_entries = on_one_thread(clip_entries, globals())


def sgd(W: Any, dW: Any, learn_rate: float, keep: float) -> Any:
    out = floats(W.shape)
    SGD.run(W.size, flat(W), flat(dW), out.ravel(), learn_rate, keep)
    return out


def sgd_momentum(
    W: Any, dW: Any, velocity: Any, learn_rate: float, momentum: float, keep: float, *, nesterov: bool
) -> tuple[Any, Any]:
    out, velocity = floats(W.shape), _own(velocity)
    _sgd_momentum.run(
        W.size, flat(W), flat(dW), velocity.ravel(), out.ravel(),
        learn_rate, momentum, keep, nesterov,
    )  # fmt: skip
    return out, velocity


def adam(
    W: Any, dW: Any, mom1: Any, mom2: Any, beta1: float, rest1: float, beta2: float, rest2: float,
    eps: float, rate: float, root_fix2: float, keep: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    out, mom1, mom2 = floats(W.shape), _own(mom1), _own(mom2)
    _adam.run(
        W.size, flat(W), flat(dW), mom1.ravel(), mom2.ravel(), out.ravel(),
        beta1, rest1, beta2, rest2, eps, rate, 1.0 / root_fix2, keep,
    )  # fmt: skip
    return out, mom1, mom2


def radam(
    W: Any, dW: Any, mom1: Any, mom2: Any, beta1: float, rest1: float, beta2: float, rest2: float,
    eps: float, rate: float, rectifier: float, keep: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    out, mom1, mom2 = floats(W.shape), _own(mom1), _own(mom2)
    _radam.run(
        W.size, flat(W), flat(dW), mom1.ravel(), mom2.ravel(), out.ravel(),
        beta1, rest1, beta2, rest2, eps, rate, rectifier, keep,
    )  # fmt: skip
    return out, mom1, mom2


def update_averages(ema: Any, weights: Any, rest: float) -> Any:
    out = floats(ema.shape)
    _average.run(ema.size, flat(ema), flat(weights), out.ravel(), rest)
    return out


def clip_gradient(gradient: Any, threshold: float) -> Any:
    if gradient.size < 2 * _SUMMED:
        out = floats(gradient.shape)
        return out if _clip_entries(flat(gradient), out.ravel(), threshold) else gradient
    norm = math.sqrt(_square_sum(flat(gradient)))
    return gradient if norm <= threshold else _scaled(gradient, threshold / norm)


def clip_global_norm(gradients: list[Any], threshold: float) -> list[Any]:
    norm = math.sqrt(sum(_square_sum(flat(gradient)) for gradient in gradients))
    return gradients if norm <= threshold else [_scaled(gradient, threshold / norm) for gradient in gradients]


def _square_sum(entries: Any) -> float:
    sums = np.empty(max(1, min(64, entries.size // _SUMMED)), np.float64)
    _square_sums.run(entries.size, entries, sums, slices=sums.size)
    return sums.item() if sums.size == 1 else float(sums.sum())


def _scaled(X: Any, scale: float) -> Any:
    out = floats(X.shape)
    _scale.run(X.size, flat(X), out.ravel(), scale)
    return out


def _own(state: Any) -> Any:
    """The array itself where it can be written to in place, else a copy."""
    return state if state.flags.carray else np.array(state, order="C")


UPDATES: Mapping[str, Callable[..., Any]] = {
    "sgd": sgd,
    "sgd_momentum": sgd_momentum,
    "adam": adam,
    "radam": radam,
    "update_averages": update_averages,
    "clip_gradient": clip_gradient,
    "clip_global_norm": clip_global_norm,
}
