"""Draws and masks, against the definitions of their generators in Python integers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.ops.cases.case import BadCall, OpCase, Sample
from triops.errors import ArgumentError, ShapeError

__all__ = ["CASES"]

WORD = 2**32
EVERY = ("float64", "float32", "float16", "bfloat16")


def draw_uniform(seed: int, shape: tuple[int, ...], lo: float = 0.0, hi: float = 1.0) -> Any:
    """The upper 53 bits of each 64-bit word of Philox, as a fraction."""
    words = np.random.Philox(seed).random_raw(math.prod(shape)).tolist()
    return np.array([lo + (hi - lo) * ((word >> 11) / 2**53) for word in words], dtype="float64").reshape(shape)


def draw_normal(seed: int, shape: tuple[int, ...], mean: float = 0.0, scale: float = 1.0) -> Any:
    standard = np.random.Generator(np.random.Philox(seed)).standard_normal(math.prod(shape))
    return np.array([mean + scale * z for z in standard.tolist()], dtype="float64").reshape(shape)


def permutation(seed: int, n: int) -> Any:
    order = np.arange(n)
    np.random.Generator(np.random.Philox(seed)).shuffle(order)
    return order


def mix(x: int) -> int:
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> shift)) * factor % WORD
    return x ^ (x >> 16)


def dropout_mask(seed: int, step: int, shape: tuple[int, ...], drop: float) -> Any:
    key = mix(mix(seed % WORD) ^ (step * 0x9E3779B9 % WORD))
    rate = float(np.float32(drop))
    kept = float(np.float32(1) / np.float32(1 - rate))
    uniform = ((mix((mix(place ^ key) + key) % WORD) >> 8) / 2**24 for place in range(math.prod(shape)))
    return np.array([kept if u >= rate else 0.0 for u in uniform]).reshape(shape)


def _uniform_samples(rng: np.random.Generator) -> dict[str, Sample]:
    return {
        "typical": Sample((3, (3, 5)), dtypes=EVERY),
        "bounds": Sample((4, (3, 5)), {"lo": -0.25, "hi": 0.75}),
        "empty": Sample((5, (0, 5))),
        "single number": Sample((5, ())),
        "extreme": Sample((2**200, (4,)), {"lo": -1e30, "hi": 1e30}),
    }


def _normal_samples(rng: np.random.Generator) -> dict[str, Sample]:
    return {
        "typical": Sample((3, (3, 5)), dtypes=EVERY),
        "moments": Sample((4, (3, 5)), {"mean": 2.0, "scale": 0.1}),
        "no spread": Sample((4, (3, 5)), {"mean": 2.0, "scale": 0.0}),
        "empty": Sample((5, (0, 5))),
        "single number": Sample((5, ())),
        "extreme": Sample((2**200, (4,)), {"scale": 1e30}),
    }


def _permutation_samples(rng: np.random.Generator) -> dict[str, Sample]:
    sizes = {"typical": 17, "empty": 0, "one row": 1, "many": 1000}
    return {label: Sample((3, n)) for label, n in sizes.items()} | {"extreme": Sample((2**200, 10))}


def _mask_samples(rng: np.random.Generator) -> dict[str, Sample]:
    return {
        "typical": Sample((3, 1, (5, 7), 0.3), dtypes=EVERY),
        "another step": Sample((3, 2, (5, 7), 0.3)),
        "nothing dropped": Sample((3, 1, (5, 7), 0.0)),
        "nearly all dropped": Sample((3, 1, (5, 7), 0.99)),
        "empty": Sample((3, 1, (0, 7), 0.5)),
        "single number": Sample((3, 1, (), 0.5)),
        "odd sizes": Sample((3, 1, (3, 1, 13), 0.5)),
        "many": Sample((4, 9, (4099,), 0.5), dtypes=("float32",)),
        "extreme": Sample((2**200 + 1, 2**32 + 5, (5, 7), 0.3)),
    }


BAD_SEEDS = (-1, 1.5, None)
DRAWN = ((3, 5),)
NEGATIVE = BadCall("shape", (1, (2, -1)), ShapeError, r"shape must not have a negative extent, got \(2, -1\)")

CASES = (
    OpCase(
        "draw_uniform",
        draw_uniform,
        _uniform_samples,
        (
            NEGATIVE,
            *(
                BadCall(f"seed {seed}", (seed, *DRAWN), ArgumentError, "seed must be an integer from 0, got")
                for seed in BAD_SEEDS
            ),
        ),
        takes_dtype=True,
    ),
    OpCase(
        "draw_normal",
        draw_normal,
        _normal_samples,
        (
            NEGATIVE,
            *(
                BadCall(f"seed {seed}", (seed, *DRAWN), ArgumentError, "seed must be an integer from 0, got")
                for seed in BAD_SEEDS
            ),
        ),
        takes_dtype=True,
    ),
    OpCase(
        "permutation",
        permutation,
        _permutation_samples,
        (
            BadCall("n", (1, -1), ArgumentError, "n must be 0 or more, got -1"),
            *(
                BadCall(f"seed {seed}", (seed, 5), ArgumentError, "seed must be an integer from 0, got")
                for seed in BAD_SEEDS
            ),
        ),
    ),
    OpCase(
        "dropout_mask",
        dropout_mask,
        _mask_samples,
        (
            *(
                BadCall(f"drop {drop}", (1, 1, (2,), drop), ArgumentError, "up to, not including, 1, got")
                for drop in (1.0, -0.1, math.nan)
            ),
            *(
                BadCall(f"seed {seed}", (seed, 1, (2,), 0.5), ArgumentError, "seed must be an integer from 0")
                for seed in BAD_SEEDS
            ),
            BadCall("shape", (1, 1, (2, -1), 0.5), ShapeError, "shape must not have a negative extent"),
            BadCall("step", (1, -1, (2,), 0.5), ArgumentError, "step must be an integer from 0, got -1"),
        ),
        takes_dtype=True,
    ),
)
