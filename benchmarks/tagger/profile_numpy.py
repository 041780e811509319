"""Where the time of a step on NumPy goes: its kernels, timed as they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from benchmarks.tagger.parts import HOST, PART_OF, PRODUCTS, Profile
from benchmarks.tagger.text import Batch
from benchmarks.tagger.training import Training

__all__ = ["profile_numpy"]

_FACTORS = {"affine": 0, "affine_maxout": 0, "backprop_affine": 1, "backprop_affine_maxout": 1}  # X; W comes next


def profile_numpy(classes: int, batch: Batch, rounds: int, steps: int) -> Profile:
    """The kernels that multiply do maxout in the same pass: the same products are timed without it, and what is
    left of those kernels is maxout's. Python is what a step on a single sentence takes beside its kernels."""
    training = Training("numpy", classes)
    training.train([batch] * 5)
    small = Batch(batch.sentences[:1], batch.tags[: len(batch.sentences[0])])
    with _watched(training.ops) as (_, factors):
        training.step(batch)
    products = [_product(training.ops, *each) for each in factors]
    parts: Counter[str] = Counter()
    whole_s = alone_s = 0.0
    for _ in range(rounds):
        alone_s += _mean(lambda: training.step(batch), steps) / rounds
        kernels, step_s = _by_kernel(training, batch, steps)
        others, small_s = _by_kernel(training, small, steps)
        whole_s += step_s / rounds
        parts[HOST] += (small_s - sum(others.values())) / rounds
        for name, seconds in kernels.items():
            parts[PART_OF[name]] += seconds / rounds
        products_s = _mean(lambda: [product() for product in products], steps) / rounds
        parts[PRODUCTS] += products_s
        parts[PART_OF["affine_maxout"]] -= products_s
    return Profile(
        dict(parts), whole_s, alone_s, "residuals, dropout, concatenation and loss, outside of kernels"
    )


def _by_kernel(training: Training, batch: Batch, steps: int) -> tuple[dict[str, float], float]:
    """The seconds of each kernel in a step, and of the step."""
    training.step(batch)
    with _watched(training.ops) as (seconds, _):
        whole_s = _mean(lambda: training.step(batch), steps)
    return {name: total / steps for name, total in seconds.items()}, whole_s


@contextmanager
def _watched(ops: Any) -> Iterator[tuple[dict[str, float], list[Any]]]:
    """The seconds of each kernel; and of the products the shape of X, the width of Y, and whether it is their way
    back."""
    seconds: Counter[str] = Counter()
    factors: list[Any] = []

    def watching(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            start = perf_counter()
            result = kernel(*arguments, **settings)
            seconds[name] += perf_counter() - start
            if name in _FACTORS:
                X, W = arguments[_FACTORS[name] :][:2]
                factors.append((X.shape, W.size // W.shape[-1], name.startswith("backprop")))
            return result

        return call

    tables = [(table, dict(table)) for table in (ops._kernels, ops._list_kernels)]
    for table, kernels in tables:
        table.update({name: watching(name, kernel) for name, kernel in kernels.items()})
    # Small arrays go to their kernels directly: not now.
    direct = {name: vars(ops).pop(name) for name in [*vars(ops)] if hasattr(type(ops), name)}
    try:
        yield seconds, factors
    finally:
        vars(ops).update(direct)
        for table, kernels in tables:
            table.update(kernels)


def _product(ops: Any, shape: Any, width: int, backwards: bool) -> Callable[[], Any]:
    X, W = ops.alloc(shape), ops.alloc((width, shape[1]))
    if backwards:
        dY = ops.alloc((shape[0], width))
        return lambda: ops.backprop_affine(dY, X, W)
    b = ops.alloc((width,))
    return lambda: ops.affine(X, W, b)


def _mean(call: Callable[[], Any], calls: int) -> float:
    start = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - start) / calls
