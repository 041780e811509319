"""Activations: a case for each and one for its gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from triops.bench.cases.arrays import compare_norms, floats, formula_ops, host
from triops.bench.cases.op import OpCase
from triops.ops.activations import GRADIENT_READS

__all__ = ["ACTIVATIONS", "ELEMENTWISE"]

ELEMENTWISE = {"small": [(20, 96)], "typical": [(4000, 288)], "large": [(32000, 288)]}

_SIMPLE, _EXP = 3, 16  # floating-point operations an entry: some arithmetic, or a polynomial for exp
_FLOPS = {
    **dict.fromkeys(
        ("relu", "relu_k", "clipped_linear", "hard_sigmoid", "hard_tanh", "hard_swish", "hard_swish_mobilenet"),
        _SIMPLE,
    ),
    "dish": 3 * _SIMPLE,
}
_GRID = 1024


def _points(*shape: int) -> Any:
    """Numbers around 0, each between two points of a grid: all bends lie on the grid, and which side of one an
    entry is on must not hang on rounding."""
    np = host()
    return (np.floor(2 * floats(*shape) * _GRID) + np.float32(0.5)) / np.float32(_GRID)


def _forward(name: str) -> OpCase:
    return OpCase(
        name,
        ELEMENTWISE,
        lambda *shape: [_points(*shape)],
        lambda ops, X: getattr(ops, name)(X),
        flops=lambda n, width: _FLOPS.get(name, _EXP) * n * width,
    )


def _gradient(name: str) -> OpCase:
    backprop, reads_y = f"backprop_{name}", GRADIENT_READS[name] == "Y"

    def inputs(*shape: int) -> list[Any]:
        X = _points(*shape)
        Y = getattr(formula_ops(), name)(X.astype("float64")).astype("float32")
        return [floats(*shape, seed=1), X, Y]

    return OpCase(
        backprop,
        ELEMENTWISE,
        inputs,
        lambda ops, dY, X, Y: getattr(ops, backprop)(dY, Y if reads_y else X),
        # From Y there is no exp to take again.
        flops=lambda n, width: ((0 if reads_y else _FLOPS.get(name, _EXP)) + _SIMPLE) * n * width,
        reads=(0, 2 if reads_y else 1),
        compare=compare_norms,  # in a narrow dtype the points lie on the bends
    )


def _cases() -> Iterator[OpCase]:
    for name in sorted(GRADIENT_READS):
        yield _forward(name)
        yield _gradient(name)


ACTIVATIONS = tuple(_cases())
