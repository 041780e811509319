"""What batches of sentences of all lengths cost a compiled step, and what a step of small arrays costs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from rich.console import Console

from benchmarks.report import check_json_file, machine_load, warn_if_busy, write_json
from benchmarks.show import plain_table, widen
from benchmarks.tagger.text import Batch, equal_batches, read_text, varied_batches
from benchmarks.tagger.training import Training
from triops import compile_step, get_ops, use_ops
from triops.bench.timing import Spread
from triops.models import Adam, CategoricalCrossentropy, Linear, Softmax, chain

__all__ = ["run_varied"]

_A_TURN = 25  # batches
_LAYERS, _WIDTH = 16, 8
_TURNS, _CALLS = 20, 50


@dataclass
class _Row:
    """first_s: the seconds of steps that compiled a program."""

    batches: str
    numbers_of_words: int
    words_a_second: float
    word_s: Spread | None
    programs: int
    first_s: float


def run_varied(count: int, *, json_file: Path | None) -> None:
    """Measure both on JAX on the CPU, in turns, and print them."""
    check_json_file(json_file)
    load = machine_load()
    os.environ["TRIOPS_JAX_CACHE"] = "0"  # what is compiled is timed
    text = read_text("train")
    batches = {
        "varied": list(islice(varied_batches(text), count)),
        "of one shape": list(islice(equal_batches(text), count)),
    }
    trainings = {
        name: Training("jax", len(text.names), fill=name == "varied") for name in batches
    }  # those of one shape need no more rows
    for begin in range(0, count, _A_TURN):
        for name, training in trainings.items():
            training.train(batches[name][begin : begin + _A_TURN])
    rows = [_row(name, trainings[name], batches[name]) for name in batches]
    varied, fixed = (row.words_a_second for row in rows)
    ours, bare = _overhead()
    _print_rows(rows, count, Console(highlight=False))
    if fixed:
        print(f"varied over one shape: {varied / fixed:.2f}")
    print(f"a step of 32 parameters: {1e6 * ours:.0f} us, by hand in JAX {1e6 * bare:.0f} us, {ours / bare:.2f}")
    warn_if_busy(load)
    if json_file is not None:
        found = {
            "rows": [asdict(row) for row in rows],
            "ratio": varied / fixed if fixed else None,
            "step_of_32_parameters_s": {"step": ours, "by_hand": bare},
            "load_before": load,
        }
        write_json(json_file, found)


def _row(name: str, training: Training, batches: Sequence[Batch]) -> _Row:
    numbers = len({len(batch.tags) for batch in batches})
    return _Row(name, numbers, training.words_a_second, training.word_s, training.programs, training.first_s)


def _print_rows(rows: Sequence[_Row], count: int, console: Console) -> None:
    widen(console)
    table = plain_table()
    table.add_column(f"\n{count} batches", no_wrap=True)
    for heading in ("numbers\nof words", "words a\nsecond", "\nprograms", "compiling,\ns"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.batches,
            str(row.numbers_of_words),
            f"{row.words_a_second:,.0f}",
            str(row.programs),
            f"{row.first_s:.1f}",
        )
    console.print(table)


def _overhead() -> tuple[float, float]:
    """The median seconds of a step on a model of many small parameters, and of the same written by hand in JAX,
    in turns."""
    import jax

    from benchmarks.train.with_jax import cross_entropy, train_step

    with use_ops(get_ops("jax", "cpu:0")) as ops:
        model = chain(*(Linear(_WIDTH, _WIDTH) for _ in range(_LAYERS - 1)), Softmax(_WIDTH, _WIDTH)).initialize()
    X, y = ops.draw_normal(1, (4, _WIDTH)), ops.asarray([0, 1, 2, 3], dtype="int32")
    step = compile_step(model, CategoricalCrossentropy(), Adam(0.001, grad_clip=0.0, use_averages=False))

    def loss(weights: dict[str, Any], batch: dict[str, Any]) -> Any:
        Y = batch["X"]
        for n in range(_LAYERS):
            Y = Y @ weights[f"W{n}"].T + weights[f"b{n}"]
        return cross_entropy(Y, batch["y"])

    weights = {
        f"{name}{n}": jax.numpy.array(layer.get_param(name))
        for n, layer in enumerate(model.layers)
        for name in ("W", "b")
    }
    zeros = [jax.tree.map(jax.numpy.zeros_like, weights) for _ in range(2)]
    by_hand = train_step(loss)
    state = [(weights, *zeros, jax.numpy.zeros((), "int32"))]

    def bare() -> Any:
        state[0], value = by_hand(state[0], {"X": X, "y": y})
        return value

    return _medians(lambda: step(X, y), bare)


def _medians(*calls: Callable[[], Any]) -> tuple[float, ...]:
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(_TURNS):
        for call, found in zip(calls, times, strict=True):
            for n in range(2 * _CALLS):
                start = perf_counter()
                call().block_until_ready()
                if n >= _CALLS:
                    found.append(perf_counter() - start)
    return tuple(map(median, times))
