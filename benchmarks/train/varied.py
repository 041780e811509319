"""What batches of sentences of all lengths cost a compiled step, and what a step costs beside its program."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import typer

from examples.tagger import batches, read, tagger
from triops import compile_step, get_ops, use_ops
from triops.models import Adam, CategoricalCrossentropy, Linear, Softmax, chain

__all__ = ["run_varied"]

_FIXED = (125, 16)  # sentences and words of a batch of one shape
_LAYERS, _WIDTH = 16, 8


def run_varied(count: int) -> None:
    """Print both, measured on JAX on the CPU."""
    folder = os.environ.get("TRIOPS_DATA")
    if not folder:
        raise typer.BadParameter("set TRIOPS_DATA to the folder of en_ewt-train.conllu.gz")
    sentences, tags = read(Path(folder, "en_ewt-train.conllu.gz"))
    names = sorted({tag for sentence in tags for tag in sentence})
    numbers = [np.array([names.index(tag) for tag in sentence]) for sentence in tags]
    words, truths = np.concatenate(sentences), np.concatenate(numbers)
    varied = [
        ([sentences[n] for n in batch], np.concatenate([numbers[n] for n in batch]))
        for batch in islice(batches(sentences, 0), count)
    ]
    size = _FIXED[0] * _FIXED[1]
    fixed = [
        (np.split(words[start : start + size], _FIXED[0]), truths[start : start + size])
        for start in range(0, min(count * size, len(words) - size), size)
    ]
    lengths = len({sum(map(len, X)) for X, _ in varied})
    print(f"{len(varied)} batches of sentences, {lengths} different numbers of words")
    speeds = {}
    for name, fill, data in (("varied", True, varied), ("fixed", False, fixed)):
        speeds[name], compilations, compiling_s = _train(data, len(names), fill)
        print(
            f"{name}: {speeds[name]:,.0f} words a second, {compilations} programs compiled in {compiling_s:.1f} s"
        )
    print(f"varied over fixed: {speeds['varied'] / speeds['fixed']:.2f}")
    ours, bare = _overhead()
    print(
        f"a step of 32 parameters: {1e6 * ours:.0f} us, its program alone {1e6 * bare:.0f} us, {ours / bare:.2f}"
    )


def _train(data: Sequence[Any], classes: int, fill: bool) -> tuple[float, int, float]:
    """Words a second in steps that compile nothing, how many programs there were, and the seconds of the
    others."""
    with use_ops(get_ops("jax", "cpu:0")) as ops:
        model = tagger(classes).initialize([ops.asarray(data[0][0][0])])
    step = compile_step(model, CategoricalCrossentropy(), Adam(0.002), fill=fill)
    words, seconds, compiling_s = 0, 0.0, 0.0
    for X, y in data:
        arrays, labels, before = [ops.asarray(x) for x in X], ops.asarray(y), step.compilations
        start = perf_counter()
        float(step(arrays, labels, drop=0.1))
        took = perf_counter() - start
        if step.compilations > before:
            compiling_s += took
        else:
            words, seconds = words + len(y), seconds + took
    return words / seconds, step.compilations, compiling_s


def _overhead() -> tuple[float, float]:
    """The median seconds of a step on a model of many small parameters, and of its program with the arrays at
    hand."""
    import jax

    with use_ops(get_ops("jax", "cpu:0")) as ops:
        model = chain(*(Linear(_WIDTH, _WIDTH) for _ in range(_LAYERS - 1)), Softmax(_WIDTH, _WIDTH)).initialize()
    X, y = ops.draw_normal(1, (4, _WIDTH)), ops.asarray([0, 1, 2, 3], dtype="int32")
    step = compile_step(model, CategoricalCrossentropy(), Adam(0.001, use_averages=False))
    step(X, y)
    (made,) = step._programs._made.values()
    count = 3 * 2 * _LAYERS
    arrays = [jax.numpy.zeros(a.shape, a.dtype) for a in made.program._compiled.args_info[0]]
    state = arrays[:count]

    def alone() -> Any:
        results = made.program._compiled(*state, *arrays[count:])
        state[:] = results[:count]
        return results[count]

    return _median(lambda: step(X, y)), _median(alone)


def _median(call: Callable[[], Any], calls: int = 400) -> float:
    times = []
    for _ in range(calls):
        start = perf_counter()
        call().block_until_ready()
        times.append(perf_counter() - start)
    return median(times[calls // 4 :])
