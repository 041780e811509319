"""Where the time of a step on NumPy goes: its kernels, timed as they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from benchmarks.tagger.parts import ARITHMETIC, HOST, PART_OF, PRODUCTS, Profile
from benchmarks.tagger.text import Batch
from benchmarks.tagger.training import Training

__all__ = ["profile_numpy"]

_FACTORS = {"affine": 0, "affine_maxout": 0, "backprop_affine": 1, "backprop_affine_maxout": 1}  # X; W comes next


def profile_numpy(classes: int, batch: Batch, steps: int) -> Profile:
    """The kernels that multiply do maxout in the same pass: products are timed alone, at the same shapes, and what
    is left of those kernels is maxout's. Python is what a step on a single sentence takes beside its kernels."""
    training = Training("numpy", classes)
    training.train([batch] * 5)
    alone_s = _mean(lambda: training.step(batch), steps)
    kernels, products, whole_s = _by_kernel(training, batch, steps)
    small = Batch(batch.sentences[:1], batch.tags[: len(batch.sentences[0])])
    others, _, small_s = _by_kernel(training, small, steps)
    products_s = _mean(lambda: [product() for product in products], steps)
    parts: Counter[str] = Counter()
    for name, seconds in kernels.items():
        parts[PART_OF.get(name, name)] += seconds
    parts[PART_OF["affine_maxout"]] -= products_s
    parts[PRODUCTS] = products_s
    parts[HOST] = small_s - sum(others.values())
    parts[ARITHMETIC] = whole_s - sum(kernels.values()) - parts[HOST]
    return Profile(dict(parts), whole_s, alone_s)


def _by_kernel(
    training: Training, batch: Batch, steps: int
) -> tuple[dict[str, float], list[Callable[[], Any]], float]:
    """The seconds of each kernel in a step, the products of a step, and the seconds of a step."""
    training.step(batch)
    with _watched(training.ops) as (_, products):
        training.step(batch)
    with _watched(training.ops) as (seconds, _):
        whole_s = _mean(lambda: training.step(batch), steps, warm=0)
    return {name: total / steps for name, total in seconds.items()}, products, whole_s


@contextmanager
def _watched(ops: Any) -> Iterator[tuple[dict[str, float], list[Callable[[], Any]]]]:
    seconds: Counter[str] = Counter()
    products: list[Callable[[], Any]] = []

    def watching(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            start = perf_counter()
            result = kernel(*arguments, **settings)
            seconds[name] += perf_counter() - start
            if name in _FACTORS:
                X, W = arguments[_FACTORS[name] :][:2]
                products.extend(_products(ops, X.shape, W.size // W.shape[-1], name.startswith("backprop")))
            return result

        return call

    tables = [(table, dict(table)) for table in (ops._kernels, ops._list_kernels)]
    for table, kernels in tables:
        table.update({name: watching(name, kernel) for name, kernel in kernels.items()})
    try:
        yield seconds, products
    finally:
        for table, kernels in tables:
            table.update(kernels)


def _products(ops: Any, shape: Any, width: int, backwards: bool) -> list[Callable[[], Any]]:
    """Y = X Wt; or dX = dY W and dW = dYt X."""
    X, W, dY = ops.alloc(shape), ops.alloc((width, shape[1])), ops.alloc((shape[0], width))
    if not backwards:
        return [lambda: ops.gemm(X, W, trans2=True)]
    return [lambda: ops.gemm(dY, W), lambda: ops.gemm(dY, X, trans1=True)]


def _mean(call: Callable[[], Any], calls: int, warm: int = 3) -> float:
    for _ in range(warm):
        call()
    start = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - start) / calls
