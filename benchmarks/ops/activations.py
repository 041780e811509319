"""Activations: a row each, from which the peers' functions for the op and for its gradient come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.ops.case import Peers
from triops.ops.activations import GRADIENT_READS

__all__ = ["ACTIVATIONS"]


@dataclass(frozen=True)
class Activation:
    """How the peers compute one activation and its gradient."""

    name: str
    jax: Callable[..., Any]
    torch: Callable[..., Any] | None = None
    torch_gradient: Callable[..., Any] | None = None  # what autograd runs
    jax_gradient: Callable[..., Any] | None = None  # for those that read Y; the others go by vjp
    thinc: bool = True  # Thinc has it, under the same name


def _clip(low: float, high: float, slope: float = 1.0, offset: float = 0.0) -> Callable[..., Any]:
    return lambda j, X: j.numpy.clip(X * slope + offset, low, high)


_ROWS = (
    Activation(
        "relu",
        lambda j, X: j.nn.relu(X),
        lambda t, X: t.relu(X),
        lambda t, dY, X, Y: t.ops.aten.threshold_backward(dY, Y, 0.0),
        lambda j, dY, X, Y: j.numpy.where(Y > 0, dY, 0),
    ),
    Activation(
        "relu_k",
        lambda j, X: j.nn.relu6(X),
        lambda t, X: t.nn.functional.relu6(X),
        lambda t, dY, X, Y: t.ops.aten.hardtanh_backward(dY, X, 0.0, 6.0),
    ),
    Activation("clipped_linear", _clip(0.0, 1.0)),
    Activation("hard_sigmoid", _clip(0.0, 1.0, 0.2, 0.5)),
    Activation(
        "hard_tanh",
        lambda j, X: j.nn.hard_tanh(X),
        lambda t, X: t.nn.functional.hardtanh(X),
        lambda t, dY, X, Y: t.ops.aten.hardtanh_backward(dY, X, -1.0, 1.0),
    ),
    Activation("hard_swish", lambda j, X: X * _clip(0.0, 1.0, 0.2, 0.5)(j, X)),
    Activation(
        "hard_swish_mobilenet",
        lambda j, X: j.nn.hard_swish(X),
        lambda t, X: t.nn.functional.hardswish(X),
        lambda t, dY, X, Y: t.ops.aten.hardswish_backward(dY, X),
    ),
    Activation(
        "sigmoid",
        lambda j, X: j.nn.sigmoid(X),
        lambda t, X: t.sigmoid(X),
        lambda t, dY, X, Y: t.ops.aten.sigmoid_backward(dY, Y),
        lambda j, dY, X, Y: dY * Y * (1 - Y),
    ),
    Activation(
        "tanh",
        lambda j, X: j.numpy.tanh(X),
        lambda t, X: t.tanh(X),
        lambda t, dY, X, Y: t.ops.aten.tanh_backward(dY, Y),
        lambda j, dY, X, Y: dY * (1 - Y * Y),
        thinc=False,
    ),
    Activation(
        "swish",
        lambda j, X: j.nn.silu(X),
        lambda t, X: t.nn.functional.silu(X),
        lambda t, dY, X, Y: t.ops.aten.silu_backward(dY, X),
    ),
    Activation("dish", lambda j, X: 0.5 * X * (X * j.lax.rsqrt(1 + X * X) + 1)),
    Activation(
        "mish",
        lambda j, X: j.nn.mish(X),
        lambda t, X: t.nn.functional.mish(X),
        lambda t, dY, X, Y: t.ops.aten.mish_backward(dY, X),
    ),
    Activation(
        "gelu",
        lambda j, X: j.nn.gelu(X, approximate=False),
        lambda t, X: t.nn.functional.gelu(X),
        lambda t, dY, X, Y: t.ops.aten.gelu_backward(dY, X),
    ),
    Activation(
        "gelu_approx",
        lambda j, X: j.nn.gelu(X, approximate=True),
        lambda t, X: t.nn.functional.gelu(X, approximate="tanh"),
        lambda t, dY, X, Y: t.ops.aten.gelu_backward(dY, X, approximate="tanh"),
    ),
    Activation(
        "elu",
        lambda j, X: j.nn.elu(X),
        lambda t, X: t.nn.functional.elu(X),
        lambda t, dY, X, Y: t.ops.aten.elu_backward(dY, 1.0, 1.0, 1.0, True, Y),
        lambda j, dY, X, Y: j.numpy.where(Y > 0, dY, dY * (Y + 1)),
        thinc=False,
    ),
    Activation(
        "softplus",
        lambda j, X: j.nn.softplus(X),
        lambda t, X: t.nn.functional.softplus(X),
        lambda t, dY, X, Y: t.ops.aten.softplus_backward(dY, X, 1.0, 20.0),
        thinc=False,
    ),
)


def _forward(row: Activation) -> Peers:
    name = row.name
    return Peers((lambda ops, X: getattr(ops, name)(X)) if row.thinc else None, row.torch, row.jax)


def _gradient(row: Activation) -> Peers:
    backprop, reads_y = f"backprop_{row.name}", GRADIENT_READS[row.name] == "Y"

    def thinc(ops: Any, dY: Any, X: Any, Y: Any) -> Any:
        if row.name == "swish":  # it alone reads both
            return ops.backprop_swish(dY, X, Y)
        return getattr(ops, backprop)(dY, Y if reads_y else X)

    def by_vjp(j: Any, dY: Any, X: Any, Y: Any) -> Any:
        return j.vjp(lambda X: row.jax(j, X), X)[1](dY)[0]

    return Peers(thinc if row.thinc else None, row.torch_gradient, row.jax_gradient or by_vjp)


ACTIVATIONS: dict[str, Peers] = {
    **{row.name: _forward(row) for row in _ROWS},
    **{f"backprop_{row.name}": _gradient(row) for row in _ROWS},
}
