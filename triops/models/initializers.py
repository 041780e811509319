"""Initial values of parameters: functions of the ops, a shape and a seed.

fan_in is the last dimension of the shape, what one output sums over; fan_out is the first. Settings are
given with functools.partial: `partial(uniform_init, lo=-1, hi=1)`.
"""

from __future__ import annotations

import math
from typing import Protocol

from triops.errors import ShapeError
from triops.ops import Ops
from triops.types import FloatsXd, Shape

__all__ = [
    "Initializer",
    "default_initializer",
    "glorot_normal_init",
    "glorot_uniform_init",
    "he_normal_init",
    "he_uniform_init",
    "lecun_normal_init",
    "lecun_uniform_init",
    "normal_init",
    "one_init",
    "uniform_init",
    "zero_init",
]


class Initializer(Protocol):
    """`init(ops, shape, seed)` returns an array of that shape."""

    def __call__(self, ops: Ops, shape: Shape, seed: int, /) -> FloatsXd: ...


def zero_init(ops: Ops, shape: Shape, seed: int = 0) -> FloatsXd:
    """All 0."""
    zeros: FloatsXd = ops.alloc(shape)
    return zeros


def one_init(ops: Ops, shape: Shape, seed: int = 0) -> FloatsXd:
    """All 1."""
    ones: FloatsXd = ops.alloc(shape) + 1
    return ones


def uniform_init(ops: Ops, shape: Shape, seed: int, *, lo: float = -0.1, hi: float = 0.1) -> FloatsXd:
    """U(lo, hi)."""
    return ops.draw_uniform(seed, shape, lo, hi)


def normal_init(ops: Ops, shape: Shape, seed: int, *, mean: float = 0.0, scale: float = 0.1) -> FloatsXd:
    """N(mean, scale²)."""
    return ops.draw_normal(seed, shape, mean, scale)


def glorot_uniform_init(ops: Ops, shape: Shape, seed: int) -> FloatsXd:
    """U(-s, s), s = √(6 / (fan_in + fan_out)). Glorot and Bengio 2010, Understanding the difficulty of
    training deep feedforward neural networks."""
    return _uniform(ops, shape, seed, 6.0 / (_fan_in(shape) + shape[0]))


def glorot_normal_init(ops: Ops, shape: Shape, seed: int) -> FloatsXd:
    """N(0, 2 / (fan_in + fan_out)), the normal form of `glorot_uniform_init`."""
    return _normal(ops, shape, seed, 2.0 / (_fan_in(shape) + shape[0]))


def he_uniform_init(ops: Ops, shape: Shape, seed: int) -> FloatsXd:
    """U(-s, s), s = √(6 / fan_in). He et al. 2015, Delving Deep into Rectifiers."""
    return _uniform(ops, shape, seed, 6.0 / _fan_in(shape))


def he_normal_init(ops: Ops, shape: Shape, seed: int) -> FloatsXd:
    """N(0, 2 / fan_in), the normal form of `he_uniform_init`."""
    return _normal(ops, shape, seed, 2.0 / _fan_in(shape))


def lecun_uniform_init(ops: Ops, shape: Shape, seed: int) -> FloatsXd:
    """U(-s, s), s = √(3 / fan_in). LeCun et al. 1998, Efficient BackProp."""
    return _uniform(ops, shape, seed, 3.0 / _fan_in(shape))


def lecun_normal_init(ops: Ops, shape: Shape, seed: int) -> FloatsXd:
    """N(0, 1 / fan_in), the normal form of `lecun_uniform_init`."""
    return _normal(ops, shape, seed, 1.0 / _fan_in(shape))


def default_initializer(ndim: int) -> Initializer:
    """What a parameter of that rank starts as where its layer does not say."""
    return glorot_uniform_init if ndim > 1 else zero_init


def _fan_in(shape: Shape) -> int:
    if len(shape) < 2:
        raise ShapeError(
            f"initializer: needs a shape of at least two dimensions to scale by, got {tuple(shape)}: use "
            f"zero_init, uniform_init or normal_init for vectors"
        )
    return shape[-1]


def _uniform(ops: Ops, shape: Shape, seed: int, square: float) -> FloatsXd:
    scale = math.sqrt(square)
    return ops.draw_uniform(seed, shape, -scale, scale)


def _normal(ops: Ops, shape: Shape, seed: int, variance: float) -> FloatsXd:
    return ops.draw_normal(seed, shape, 0.0, math.sqrt(variance))
