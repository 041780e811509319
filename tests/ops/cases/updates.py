"""Steps of optimizers, one at a time; `tests.ops.test_updates` takes several."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, OpCase, Sample, Tolerance
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES", "adam", "radam", "sgd_momentum"]

GRID = (3, 7)

# The numbers after the arrays, and settings, by what they are a sample of.
Variants: TypeAlias = Mapping[str, tuple[tuple[Any, ...], dict[str, Any]]]
Samples: TypeAlias = Callable[[np.random.Generator], dict[str, Sample]]


def sgd(W: Any, dW: Any, learn_rate: float, decay: float = 0.0) -> Any:
    return (1 - decay) * W - learn_rate * dW


def sgd_momentum(
    W: Any, dW: Any, velocity: Any, learn_rate: float, momentum: float, decay: float = 0.0, nesterov: bool = False
) -> tuple[Any, Any]:
    velocity = momentum * velocity + dW
    step = dW + momentum * velocity if nesterov else velocity
    return (1 - decay) * W - learn_rate * step, velocity


def adam(
    W: Any,
    dW: Any,
    mom1: Any,
    mom2: Any,
    beta1: float,
    beta2: float,
    eps: float,
    learn_rate: float,
    step: int,
    decay: float = 0.0,
) -> tuple[Any, Any, Any]:
    """As in the paper's algorithm 1: the moments' estimates first, then the step."""
    mom1 = beta1 * mom1 + (1 - beta1) * dW
    mom2 = beta2 * mom2 + (1 - beta2) * dW**2
    mean, variance = mom1 / (1 - beta1**step), mom2 / (1 - beta2**step)
    return (1 - decay) * W - learn_rate * mean / (np.sqrt(variance) + eps), mom1, mom2


def radam(
    W: Any,
    dW: Any,
    mom1: Any,
    mom2: Any,
    beta1: float,
    beta2: float,
    eps: float,
    learn_rate: float,
    step: int,
    decay: float = 0.0,
) -> tuple[Any, Any, Any]:
    """As in the paper's algorithm 2, with eps where its reference code has it, and its threshold."""
    mom1 = beta1 * mom1 + (1 - beta1) * dW
    mom2 = beta2 * mom2 + (1 - beta2) * dW**2
    mean = mom1 / (1 - beta1**step)
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / (1 - beta2**step)
    if length > 5:
        r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
        mean = r * mean * math.sqrt(1 - beta2**step) / (np.sqrt(mom2) + eps)
    return (1 - decay) * W - learn_rate * mean, mom1, mom2


def clip_gradient(gradient: Any, threshold: float) -> Any:
    norm = math.hypot(*gradient.ravel().tolist())
    return gradient if norm <= threshold else gradient * (threshold / norm)


def update_averages(ema: Any, weights: Any, t: int, max_decay: float = 0.9999) -> Any:
    decay = min((1 + t) / (10 + t), max_decay)
    return ema + (1 - decay) * (weights - ema)


def _arrays(rng: np.random.Generator, shape: tuple[int, ...], state: str) -> tuple[Any, ...]:
    """Weights and gradient, and by letter a velocity or first moment (m) and a second moment (v)."""
    makers = {"m": lambda: rng.normal(0, 1, shape), "v": lambda: rng.uniform(0.01, 2, shape)}
    return rng.normal(0, 1, shape), rng.normal(0, 1, shape), *(makers[letter]() for letter in state)


def _samples_of(state: str, numbers: tuple[Any, ...], variants: Variants) -> Samples:
    def samples(rng: np.random.Generator) -> dict[str, Sample]:
        def arrays(*shape: int) -> tuple[Any, ...]:
            return _arrays(rng, shape, state)

        large = np.resize([1e15, -1e15, 1e-15, -1e-15, 88.0, 0.0], GRID)
        extreme = tuple(abs(large) if letter == "v" else large for letter in "Wd" + state)
        odd = np.resize([math.nan, math.inf, -math.inf, 1.0], GRID)
        nonfinite = tuple(abs(odd) if letter == "v" else odd for letter in "Wd" + state)
        drawn = {
            "typical": Sample((*arrays(*GRID), *numbers), dtypes=(*FULL, *(() if "v" in state else HALF))),
            "empty": Sample((*arrays(0, 5), *numbers), dtypes=("float32",)),
            "single number": Sample((*arrays(), *numbers), dtypes=("float32",)),
            "vector": Sample((*arrays(257), *numbers), dtypes=("float32",)),
            "transposed": Sample((*arrays(*GRID), *numbers), layout=transposed),
            "strided": Sample((*arrays(*GRID), *numbers), layout=strided),
            "mixed": Sample((*arrays(*GRID), *numbers), layout=mixed),
            "extreme": Sample((*extreme, *numbers)),
            "nonfinite": Sample((*nonfinite, *numbers), finite=False),
        }
        for label, (chosen, settings) in variants.items():
            drawn[label] = Sample((*arrays(*GRID), *chosen), settings)
        return drawn

    return samples


def _clip_samples(rng: np.random.Generator) -> dict[str, Sample]:
    gradient = rng.normal(0, 1, GRID)
    return {
        "typical": Sample((gradient, 1.0), dtypes=(*FULL, *HALF)),
        "short enough": Sample((gradient, 1e3)),
        "never": Sample((gradient, math.inf)),
        "zeros": Sample((np.zeros(GRID), 1.0)),
        "empty": Sample((np.zeros((0, 5)), 1.0), dtypes=("float32",)),
        "single number": Sample((np.array(-7.0), 2.0), dtypes=("float32",)),
        "vector": Sample((rng.normal(0, 1, 257), 0.1), dtypes=("float32",)),
        "transposed": Sample((gradient, 1.0), layout=transposed),
        "strided": Sample((gradient, 1.0), layout=strided),
        "mixed": Sample((gradient, 1.0), layout=mixed),
        "extreme": Sample((np.resize([1e30, -1e30, 1e-30, 88.0], GRID), 1e20)),
        "extremely small": Sample((np.resize([1e-30, -1e-30, 2e-30], GRID), 1e-30)),
        "nonfinite": Sample((np.resize([math.inf, -math.inf, 1.0, 0.0], GRID), 1.0), finite=False),
        "nan": Sample((np.resize([math.nan, 1.0, 0.0], GRID), 1.0), finite=False),
    }


def _wrong_arrays(names: tuple[str, ...], numbers: tuple[Any, ...]) -> tuple[BadCall, ...]:
    ones = np.ones(GRID, dtype="float32")
    bad = []
    for place, name in enumerate(names):
        others = [ones] * len(names)
        others[place] = ones.astype("int32")
        bad.append(BadCall(f"{name} of integers", (*others, *numbers), DTypeError, f"{name} must be a floating"))
        if place:
            others[place] = ones.astype("float64")
            bad.append(
                BadCall(f"{name} of another dtype", (*others, *numbers), DTypeError, f"{name} is float64 and")
            )
            others[place] = ones[:1]
            bad.append(
                BadCall(
                    f"{name} of another shape",
                    (*others, *numbers),
                    ShapeError,
                    rf"{name} must have shape \(3, 7\) \(as {names[0]}\), got \(1, 7\)",
                )
            )
    return tuple(bad)


def _wrong_step() -> tuple[BadCall, ...]:
    args = (np.ones(GRID, dtype="float32"),) * 4
    wrong = {
        "step counts from 1, got": ((0.9, 0.999, 0), (0.9, 0.999, -1)),
        "beta1 must be from 0 to below 1, got": ((1.0, 0.999, 1), (-0.1, 0.999, 1)),
        "beta2 must be from 0 to below 1, got": ((0.9, 1.0, 1), (0.9, math.nan, 1)),
    }
    return tuple(
        BadCall(f"{beta1}, {beta2}, {step}", (*args, beta1, beta2, 1e-8, 1e-3, step), ArgumentError, match)
        for match, numbers in wrong.items()
        for beta1, beta2, step in numbers
    )


PAIR = ("weights", "gradient")
MOMENTS = (*PAIR, "mom1", "mom2")
RATES = (0.9, 0.999, 1e-8, 1e-3)
# 1 - 0.999**t in float64 is exact to 1e-13 of itself at t = 1, and what follows divides by it.
MOMENT_TOLERANCES = {"float64": Tolerance(1e-12, 1e-14)}

ADAM_VARIANTS = {
    "first step": ((*RATES, 1), {}),
    "late step": ((*RATES, 10**6), {}),
    "decay": ((*RATES, 10), {"decay": 0.01}),
    "large eps": ((0.8, 0.9, 0.1, 0.5, 10), {}),
    "no first moment": ((0.0, 0.99, 1e-8, 1e-3, 7), {}),
}

CASES = (
    OpCase(
        "sgd",
        sgd,
        _samples_of("", (0.1,), {"decay": ((0.1,), {"decay": 0.01}), "no step": ((0.0,), {})}),
        _wrong_arrays(PAIR, (0.1,)),
        takes_lists=True,
    ),
    OpCase(
        "sgd_momentum",
        sgd_momentum,
        _samples_of(
            "m",
            (0.1, 0.9),
            {
                "nesterov": ((0.1, 0.9), {"nesterov": True}),
                "decay": ((0.1, 0.9), {"decay": 0.01}),
                "no momentum": ((0.1, 0.0), {}),
            },
        ),
        _wrong_arrays((*PAIR, "velocity"), (0.1, 0.9)),
        takes_lists=True,
        donated=(2,),
    ),
    OpCase(
        "adam",
        adam,
        _samples_of("mv", (*RATES, 5), ADAM_VARIANTS),
        (*_wrong_arrays(MOMENTS, (*RATES, 5)), *_wrong_step()),
        takes_lists=True,
        donated=(2, 3),
        tolerances=MOMENT_TOLERANCES,
    ),
    OpCase(
        "radam",
        radam,
        _samples_of(
            "mv",
            (*RATES, 7),
            ADAM_VARIANTS | {"last without": ((*RATES, 5), {}), "first rectified": ((*RATES, 6), {})},
        ),
        (*_wrong_arrays(MOMENTS, (*RATES, 7)), *_wrong_step()),
        takes_lists=True,
        donated=(2, 3),
        tolerances=MOMENT_TOLERANCES,
    ),
    OpCase(
        "clip_gradient",
        clip_gradient,
        _clip_samples,
        (
            *(
                BadCall(
                    f"threshold {threshold}",
                    (np.ones(3, dtype="float32"), threshold),
                    ArgumentError,
                    "threshold must be above 0, got",
                )
                for threshold in (0.0, -1.0, math.nan)
            ),
            BadCall(
                "integers", (np.ones(3, dtype="int64"), 1.0), DTypeError, "gradient must be a floating array"
            ),
        ),
        takes_lists=True,
    ),
    OpCase(
        "update_averages",
        update_averages,
        _samples_of(
            "",
            (3,),
            {"first": ((0,), {}), "late": ((10**6,), {}), "max_decay": ((1000,), {"max_decay": 0.5})},
        ),
        _wrong_arrays(("ema", "weights"), (1,)),
        takes_lists=True,
        donated=(0,),
    ),
)
