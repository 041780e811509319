"""Activations: a row each, from which a case for the op and one for its gradient come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.ops.case import Case, floats
from triops import get_ops
from triops.ops.activations import GRADIENT_READS

__all__ = ["ACTIVATIONS", "ELEMENTWISE"]

ELEMENTWISE = {"small": [(20, 96)], "typical": [(4000, 288)], "large": [(32000, 288)]}

_SIMPLE, _EXP = 3, 16  # floating-point operations an entry: some arithmetic, or a polynomial for exp
_GRID = 1024


@dataclass(frozen=True)
class Activation:
    """How the peers compute one activation and its gradient."""

    name: str
    jax: Callable[..., Any]
    torch: Callable[..., Any] | None = None
    torch_gradient: Callable[..., Any] | None = None  # what autograd runs
    jax_gradient: Callable[..., Any] | None = None  # for those that read Y; the others go by vjp
    thinc: bool = True  # Thinc has it, under the same name
    flops: int = _EXP


def _clip(low: float, high: float, slope: float = 1.0, offset: float = 0.0) -> Callable[..., Any]:
    return lambda j, X: j.numpy.clip(X * slope + offset, low, high)


_ROWS = (
    Activation(
        "relu",
        lambda j, X: j.nn.relu(X),
        lambda t, X: t.relu(X),
        lambda t, dY, X, Y: t.ops.aten.threshold_backward(dY, Y, 0.0),
        lambda j, dY, X, Y: j.numpy.where(Y > 0, dY, 0),
        flops=_SIMPLE,
    ),
    Activation(
        "relu_k",
        lambda j, X: j.nn.relu6(X),
        lambda t, X: t.nn.functional.relu6(X),
        lambda t, dY, X, Y: t.ops.aten.hardtanh_backward(dY, X, 0.0, 6.0),
        flops=_SIMPLE,
    ),
    Activation("clipped_linear", _clip(0.0, 1.0), flops=_SIMPLE),
    Activation("hard_sigmoid", _clip(0.0, 1.0, 0.2, 0.5), flops=_SIMPLE),
    Activation(
        "hard_tanh",
        lambda j, X: j.nn.hard_tanh(X),
        lambda t, X: t.nn.functional.hardtanh(X),
        lambda t, dY, X, Y: t.ops.aten.hardtanh_backward(dY, X, -1.0, 1.0),
        flops=_SIMPLE,
    ),
    Activation("hard_swish", lambda j, X: X * _clip(0.0, 1.0, 0.2, 0.5)(j, X), flops=_SIMPLE),
    Activation(
        "hard_swish_mobilenet",
        lambda j, X: j.nn.hard_swish(X),
        lambda t, X: t.nn.functional.hardswish(X),
        lambda t, dY, X, Y: t.ops.aten.hardswish_backward(dY, X),
        flops=_SIMPLE,
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
    Activation("dish", lambda j, X: 0.5 * X * (X * j.lax.rsqrt(1 + X * X) + 1), flops=3 * _SIMPLE),
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


def _points(*shape: int) -> Any:
    """Numbers around 0, each between two points of a grid: all bends lie on the grid, and which side of one an
    entry is on must not hang on rounding."""
    return (np.floor(2 * floats(*shape) * _GRID) + np.float32(0.5)) / np.float32(_GRID)


def _forward(row: Activation) -> Case:
    name = row.name
    return Case(
        name,
        ELEMENTWISE,
        lambda *shape: [_points(*shape)],
        triops=lambda ops, X: getattr(ops, name)(X),
        thinc=(lambda ops, X: getattr(ops, name)(X)) if row.thinc else None,
        torch=row.torch,
        jax=row.jax,
        flops=lambda n, width: row.flops * n * width,
    )


def _gradient(row: Activation) -> Case:
    backprop, reads_y = f"backprop_{row.name}", GRADIENT_READS[row.name] == "Y"

    def inputs(*shape: int) -> list[Any]:
        X = _points(*shape)
        Y = getattr(get_ops("numpy"), row.name)(X.astype("float64")).astype("float32")
        return [floats(*shape, seed=1), X, Y]

    def ours(ops: Any, dY: Any, X: Any, Y: Any) -> Any:
        return getattr(ops, backprop)(dY, Y if reads_y else X)

    def by_vjp(j: Any, dY: Any, X: Any, Y: Any) -> Any:
        return j.vjp(lambda X: row.jax(j, X), X)[1](dY)[0]

    # Thinc's swish alone reads both.
    both = (lambda ops, dY, X, Y: ops.backprop_swish(dY, X, Y)) if row.name == "swish" else ours
    return Case(
        backprop,
        ELEMENTWISE,
        inputs,
        triops=ours,
        thinc=both if row.thinc else None,
        torch=row.torch_gradient,
        jax=row.jax_gradient or by_vjp,
        # From Y there is no exp to take again.
        flops=lambda n, width: ((0 if reads_y else row.flops) + _SIMPLE) * n * width,
        reads=(0, 2 if reads_y else 1),
    )


def _cases() -> Iterator[Case]:
    for row in _ROWS:
        yield _forward(row)
        yield _gradient(row)


ACTIVATIONS = tuple(_cases())
