"""One pipeline with Thinc's own operations and with triops': the same results, and how fast each is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import spacy
from spacy.training.batchers import minibatch_by_words

import triops
from benchmarks.spacy.pipelines import Pipeline
from benchmarks.turns import Pace, take_turns
from triops.bench.timing import Spread

__all__ = ["FULL", "QUICK", "Measured", "Scale", "measure"]

_WORDS_A_BATCH = 1000  # where spaCy's default training config arrives
_DROP = 0.1  # as in that config
_LOSS = 1e-3  # the relative difference of losses after some updates that is rounding


@dataclass(frozen=True)
class Scale:
    """How much text, and how long each peer is measured."""

    train: int
    held: int
    pace: Pace


FULL = Scale(400, 1000, Pace(turns=3, warm_s=0.5, turn_s=3.0, samples=3))
QUICK = Scale(60, 40, Pace(turns=1, warm_s=0.0, turn_s=0.01, samples=2))


@dataclass
class Measured:
    """One task of a pipeline, `update` or `pipe`. `differences` says in words what is not the same."""

    pipeline: str
    task: str
    words: int
    call_s: dict[str, Spread | None]
    differences: list[str] = field(default_factory=list)

    def words_a_second(self, peer: str) -> float:
        """The median."""
        spread = self.call_s[peer]
        return 0.0 if spread is None else self.words / spread.median_s

    @property
    def gain(self) -> float:
        """How many times as many words a second."""
        before = self.words_a_second("thinc")
        return self.words_a_second("triops") / before if before else 0.0


def measure(pipeline: Pipeline, scale: Scale) -> list[Measured]:
    """What is measured of a pipeline, checked first."""
    train, held = pipeline.read(spacy.blank("en"), scale.train, scale.held)
    batches = list(minibatch_by_words(train, size=_WORDS_A_BATCH))
    texts = [example.reference.text for example in held]
    peers = {}
    losses = {}
    for peer in ("thinc", "triops"):
        with _on(peer):
            peers[peer] = pipeline.make(train)
            losses[peer] = _losses(*peers[peer], batches)
    wrong = _compare_losses(losses)
    words = sum(len(example.reference) for example in train)
    update = take_turns(
        {peer: _timed(peer, lambda n=nlp, o=sgd: _train(n, o, batches)) for peer, (nlp, sgd) in peers.items()},
        scale.pace,
        singly=True,
    )
    nlp, _ = peers["thinc"]  # one pipeline, so that the weights are the same
    differing = _compare_predictions(pipeline, nlp, texts)
    pipe = take_turns(
        {peer: _timed(peer, lambda: _predict(nlp, texts)) for peer in peers}, scale.pace, singly=True
    )
    predicted = sum(len(doc) for doc in nlp.pipe(texts))
    return [
        Measured(pipeline.name, "nlp.update", words, update, wrong),
        Measured(pipeline.name, "nlp.pipe", predicted, pipe, differing),
    ]


@contextmanager
def _on(peer: str) -> Iterator[None]:
    if peer == "triops":
        with triops.accelerate_thinc():
            yield
    else:
        yield


def _timed(peer: str, work: Callable[[], None]) -> Callable[[int], float]:
    def sample(calls: int) -> float:
        with _on(peer):
            start = perf_counter()
            for _ in range(calls):
                work()
            return (perf_counter() - start) / calls

    return sample


def _train(nlp: Any, sgd: Any, batches: Sequence[Any]) -> dict[str, float]:
    losses: dict[str, float] = {}
    for batch in batches:
        nlp.update(batch, sgd=sgd, drop=_DROP, losses=losses)
    return losses


def _predict(nlp: Any, texts: Sequence[str]) -> None:
    for _ in nlp.pipe(texts):
        pass


def _losses(nlp: Any, sgd: Any, batches: Sequence[Any]) -> dict[str, float]:
    return {name: float(loss) for name, loss in _train(nlp, sgd, batches).items()}


def _compare_losses(losses: dict[str, dict[str, float]]) -> list[str]:
    ours, theirs = losses["triops"], losses["thinc"]
    return [
        f"the loss of {name} is {ours[name]:.6g}, with Thinc's operations {loss:.6g}"
        for name, loss in theirs.items()
        if not abs(ours[name] - loss) <= _LOSS * abs(loss)
    ]


def _compare_predictions(pipeline: Pipeline, nlp: Any, texts: Sequence[str]) -> list[str]:
    found = {}
    for peer in ("thinc", "triops"):
        with _on(peer):
            found[peer] = [label for doc in nlp.pipe(texts) for label in pipeline.predicted(doc)]
    differing = sum(a != b for a, b in zip(found["thinc"], found["triops"], strict=True))
    return [f"{differing} of {len(found['thinc'])} predictions differ"] if differing else []
