"""What a task is: its batch and initial weights, the same numbers for everyone, and the model in each library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from triops import get_ops

__all__ = ["ADAM", "Layers", "Place", "Problem", "Task", "glorot", "hashed_rows", "labels", "lengths", "linear"]

ADAM = {"learn_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """A task at one size. weights: every parameter, in the order in which each library lists its own. batch:
    what is trained on; the labels are `y`. flops: of the products that a step cannot do without."""

    extents: Mapping[str, int]
    weights: Arrays
    batch: Arrays
    flops: float

    @property
    def bytes_moved(self) -> int:
        """What Adam reads (weights, gradient, two moments) and writes (all but the gradient) at least."""
        return 7 * sum(array.nbytes for array in self.weights.values())


@dataclass(frozen=True)
class Place:
    """Where a library keeps a parameter, or several in one array: `join` makes the library's array of them."""

    layer: Any
    name: str
    count: int = 1
    join: Callable[[Sequence[Any]], Any] = lambda arrays: arrays[0]
    split: Callable[[Any], Sequence[Any]] = lambda array: [array]


@dataclass(frozen=True)
class Layers:
    """A `begin_update` model of triops or Thinc, what goes into it, and where it keeps its weights, in order."""

    model: Any
    X: Any
    places: Sequence[Place | tuple[Any, str]]


@dataclass(frozen=True)
class Task:
    """One task. Each library's function takes the arrays of the batch; None where it has no such model.

    triops, thinc: (array, batch, extents) -> Layers; `array` makes one of the library's. torch: (extents) -> a
    module whose forward takes the batch without its labels and gives scores, and which may `prepare` the batch
    before the clock starts. jax: (weights, batch) -> the loss, of the batch that `prepare_jax` makes.
    absent: why a library has no such model. untrained: peers whose gradient is known to be wrong, and why; only
    their forward pass is checked.
    """

    name: str
    text: str
    problem: Callable[..., Problem]
    sizes: Mapping[str, Mapping[str, int]]
    triops: Callable[..., Layers] | None = None
    thinc: Callable[..., Layers] | None = None
    torch: Callable[..., Any] | None = None
    jax: Callable[..., Any] | None = None
    prepare_jax: Callable[[Arrays], Arrays] = lambda batch: batch
    tolerance: float = 0.03  # of what `benchmarks.train.agreement` calls the difference
    absent: Mapping[str, str] = field(default_factory=dict)
    untrained: Mapping[str, str] = field(default_factory=dict)


# -- what problems are made of


def glorot(rng: Any, nO: int, nI: int) -> Any:
    """Initial weights of a linear layer."""
    bound = (6 / (nO + nI)) ** 0.5
    return rng.uniform(-bound, bound, (nO, nI)).astype("float32")


def linear(rng: Any, prefix: str, nO: int, nI: int) -> Arrays:
    """Weights and bias; the bias is not zero, so that one that is left out shows."""
    return {f"{prefix}_W": glorot(rng, nO, nI), f"{prefix}_b": rng.uniform(-0.1, 0.1, nO).astype("float32")}


def labels(rng: Any, rows: int, classes: int) -> Any:
    """A class for each row."""
    return rng.integers(0, classes, rows)


def lengths(rng: Any, sequences: int, shortest: int, longest: int) -> Any:
    """Lengths, the shortest and the longest among them."""
    drawn = rng.integers(shortest, longest + 1, sequences, dtype="int32")
    drawn[:2] = longest, shortest
    return drawn


def hashed_rows(ids: Any, seed: int, nV: int) -> Any:
    """The four rows of a hash embedding's table for each id, for libraries that do not hash."""
    ops = get_ops("numpy")
    return ops.hash(ids.astype("uint64"), seed, nV).astype("int32")
