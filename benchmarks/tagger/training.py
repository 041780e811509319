"""One way to train the tagger, and how long its steps take: from arrays of the host to updated weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

import triops
from benchmarks.tagger.text import Batch, Text
from examples.tagger import tagger
from triops import Ragged, compile_step, get_ops, use_ops
from triops.bench.timing import Spread, spread
from triops.models import Adam, CategoricalCrossentropy, Model, chain

__all__ = ["Training"]

_DROP = 0.1
_LEARN_RATE = 0.002
_SETTLING = 10  # steps of a turn, at most, that do not count: threads wake up, and those of another's turn rest


class Training:
    """The tagger of the examples on the CPU of a backend. compiled: by `compile_step`, else pass by pass. fill:
    as of `compile_step`. first_s: the seconds of steps that compiled a program, and of the first one."""

    def __init__(self, backend: str, classes: int, *, compiled: bool = True, fill: bool = True) -> None:
        self.ops = get_ops(backend, "cpu:0")
        with use_ops(self.ops):
            # Sentences come as Ragged: one array to the backend, in place of one a sentence.
            self.model: Model = chain(*tagger(classes).layers[1:])
            self.model.initialize(self.ragged([np.zeros((1, 4), "uint64")]))
        loss, optimizer = CategoricalCrossentropy(), Adam(_LEARN_RATE)
        self.compiled = compile_step(self.model, loss, optimizer, fill=fill) if compiled else None
        self._step: Callable[..., Any] = self.compiled or _by_passes(self.model, loss, optimizer)
        self.first_s = 0.0
        self._turns: list[float] = []
        self._begun = False

    @property
    def programs(self) -> int:
        """How many were compiled so far."""
        return 0 if self.compiled is None else self.compiled.compilations

    def ragged(self, sentences: Any) -> Ragged:
        """Sentences as an array of the backend."""
        lengths = np.array([len(sentence) for sentence in sentences], "int32")
        return Ragged(self.ops.asarray(np.concatenate(sentences)), self.ops.asarray(lengths))

    def step(self, batch: Batch) -> Any:
        """Make one step; returns the loss, for which `float` waits."""
        return self._step(self.ragged(batch.sentences), self.ops.asarray(batch.tags), drop=_DROP)

    def train(self, batches: Sequence[Batch]) -> None:
        """A turn: a step for each batch."""
        words, start, settling = 0, perf_counter(), min(_SETTLING, len(batches) // 4)
        for number, batch in enumerate(batches):
            before, began = self.programs, perf_counter()
            loss = self.step(batch)
            if self.programs > before or not self._begun:
                float(loss)
                self.first_s += perf_counter() - began
                self._begun = True
                start += perf_counter() - began
            elif number < settling:
                float(loss)
                start = perf_counter()
            else:
                words += len(batch.tags)
        float(loss)
        if words:
            self._turns.append((perf_counter() - start) / words)

    @property
    def word_s(self) -> Spread | None:
        """The seconds of a word, over the turns."""
        return spread(self._turns)

    @property
    def words_a_second(self) -> float:
        """The median of the turns; compilation is in none."""
        word_s = self.word_s
        return 0.0 if word_s is None else 1 / word_s.median_s

    def accuracy(self, text: Text) -> float:
        """The share of words whose tag is right."""
        scores = self.ops.to_numpy(triops.compile(self.model).predict(self.ragged(text.sentences)).data)
        return float(np.mean(scores.argmax(axis=1) == np.concatenate(text.tags)))


def _by_passes(model: Model, loss: CategoricalCrossentropy, optimizer: Adam) -> Callable[..., Any]:
    def step(X: Ragged, tags: Any, drop: float) -> Any:
        Yh, backprop = model.begin_update(X, drop=drop)
        gradient, value = loss(Yh.data, tags)
        backprop(Ragged(gradient, Yh.lengths))
        model.finish_update(optimizer)
        return value

    return step
