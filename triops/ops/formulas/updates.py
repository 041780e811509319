"""One step of an optimizer over one array. Numbers that change from step to step are positional and come
ready from the host in double precision: 1 - 0.999 in float32 is already 1e-5 off."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula


@formula
def sgd(xp: Any, W: Any, dW: Any, learn_rate: float, keep: float) -> Any:
    return keep * W - learn_rate * dW


@formula
def sgd_momentum(
    xp: Any,
    W: Any,
    dW: Any,
    velocity: Any,
    learn_rate: float,
    momentum: float,
    keep: float,
    *,
    nesterov: bool,
) -> tuple[Any, Any]:
    velocity = momentum * velocity + dW
    step = dW + momentum * velocity if nesterov else velocity
    return keep * W - learn_rate * step, velocity


@formula
def adam(
    xp: Any,
    W: Any,
    dW: Any,
    mom1: Any,
    mom2: Any,
    beta1: float,
    rest1: float,
    beta2: float,
    rest2: float,
    eps: float,
    rate: float,
    root_fix2: float,
    keep: float,
) -> tuple[Any, Any, Any]:
    mom1 = beta1 * mom1 + rest1 * dW
    mom2 = beta2 * mom2 + rest2 * dW * dW
    return keep * W - rate * mom1 / (xp.sqrt(mom2) / root_fix2 + eps), mom1, mom2


@formula
def radam(
    xp: Any,
    W: Any,
    dW: Any,
    mom1: Any,
    mom2: Any,
    beta1: float,
    rest1: float,
    beta2: float,
    rest2: float,
    eps: float,
    rate: float,
    rectifier: float,
    keep: float,
) -> tuple[Any, Any, Any]:
    mom1 = beta1 * mom1 + rest1 * dW
    mom2 = beta2 * mom2 + rest2 * dW * dW
    adaptive = rectifier / (xp.sqrt(mom2) + eps)
    return (
        keep * W - rate * mom1 * xp.where(adaptive > 0, adaptive, xp.ones_like(adaptive)),
        mom1,
        mom2,
    )


@formula
def clip_gradient(xp: Any, gradient: Any, threshold: float) -> Any:
    return clip_global_norm(xp, [gradient], threshold)[0]


@formula
def clip_global_norm(xp: Any, gradients: list[Any], threshold: float) -> list[Any]:
    largest = xp.max(xp.stack([xp.max(xp.abs(gradient)) for gradient in gradients]))
    unit = xp.where((largest > 0) & (largest < float("inf")), largest, xp.ones_like(largest))
    # unit·√Σ(g/unit)² is the norm without overflow in the squares.
    squares = [xp.sum((gradient / unit) ** 2) for gradient in gradients]
    norm = unit * xp.sqrt(xp.sum(xp.stack(squares)))
    return [gradient * (threshold / xp.maximum(norm, threshold)) for gradient in gradients]


@formula
def update_averages(xp: Any, ema: Any, weights: Any, rest: float) -> Any:
    return ema + rest * (weights - ema)
