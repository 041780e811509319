"""Thinc's Adam over all parameters of a model at once: the same step, in one call for what are several dozen, and
in two passes over memory for what are ten. Every other optimizer is called as Thinc calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from thinc.optimizers import Optimizer

from triops.models.wrappers.thinc_ops import DONATED, are_floats

__all__ = ["finish_update"]

_ADAM: Callable[..., None] | None = DONATED.get("adam_in_place")
_MAX_DECAY = 0.9999  # of the averages, in Thinc's ops


def finish_update(model: Any, optimizer: Any) -> None:
    """What Thinc's `Model.finish_update` does."""
    nodes = list(model.walk())
    for node in nodes:
        for shim in node.shims:
            shim.finish_update(optimizer)
    given = [(node, name) for node in nodes for name in node.param_names if node.has_grad(name)]
    if _ADAM is not None and _is_adam(optimizer):
        given = _step(_ADAM, optimizer, given)
    for node, name in given:
        param, _ = optimizer((node.id, name), node.get_param(name), node.get_grad(name))
        node.set_param(name, param)


def _is_adam(optimizer: Any) -> bool:
    return (
        type(optimizer) is Optimizer
        and not optimizer.use_radam
        and optimizer.b1 > 0
        and optimizer.b2 > 0
        and (optimizer.L2 == 0 or optimizer.L2_is_weight_decay)
    )


def _step(adam: Callable[..., None], optimizer: Any, given: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """Update the parameters that the kernel is for; returns the others."""
    parameters, rates, shares, others = [], [], [], []
    for node, name in given:
        W, dW = node.get_param(name), node.get_grad(name)
        kept = _kept(optimizer, (node.id, name), W, dW) if node._params.proxy is None else None
        if kept is None:
            others.append((node, name))
            continue
        optimizer.nr_update[node.id, name] += 1
        step = optimizer.nr_update[node.id, name]
        parameters.append((W, dW, *kept))
        rates.append(optimizer.learn_rate * (1.0 - optimizer.b2**step) ** 0.5 / (1.0 - optimizer.b1**step))
        shares.append(1.0 - min((1.0 + step) / (10.0 + step), _MAX_DECAY))
    if parameters:
        keep = 1.0 - optimizer.learn_rate * optimizer.L2
        settings = optimizer.b1, optimizer.b2, optimizer.eps, keep, optimizer.grad_clip or 0.0
        adam(parameters, rates, shares, *settings)
    return others


def _kept(optimizer: Any, key: tuple[int, str], W: Any, dW: Any) -> tuple[Any, Any, Any] | None:
    """The moments and the average of a parameter, made where there are none; None where it is not for the
    kernel."""
    if not (_fits(W, W) and W.size and _fits(dW, W) and dW.shape == W.shape):
        return None
    kept = [optimizer.mom1, optimizer.mom2, *([] if optimizer.averages is None else [optimizer.averages])]
    if not all(_fits(known[key], W) for known in kept if key in known):
        return None
    for known, shape in zip(kept, (W.size, W.size, W.shape), strict=False):
        if key not in known:
            known[key] = np.zeros(shape, np.float32)
    return tuple(known[key] for known in kept) if len(kept) == 3 else (kept[0][key], kept[1][key], None)


def _fits(array: Any, W: Any) -> bool:
    return are_floats(array) and array.size == W.size and array.flags.carray
