"""The pipelines: those that spaCy's own config makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import spacy
import thinc.api

from benchmarks.spacy.data import messages, sentences

__all__ = ["PIPELINES", "Pipeline"]


@dataclass(frozen=True)
class Pipeline:
    """One pipeline, and the text that it learns from and predicts: Examples, first those for training."""

    name: str
    add_pipes: Callable[[Any], None]
    read: Callable[[Any, int, int], tuple[list[Any], list[Any]]]
    predicted: Callable[[Any], list[Any]]  # of a Doc

    def make(self, examples: Sequence[Any]) -> tuple[Any, Any]:
        """The pipeline with its first weights, always the same, and an optimizer."""
        thinc.api.fix_random_seed(0)
        nlp = spacy.blank("en")
        self.add_pipes(nlp)
        return nlp, nlp.initialize(lambda: examples)


def _tok2vec_and_tagger(nlp: Any) -> None:
    nlp.add_pipe("tok2vec")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "*"}
    nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}})


def _textcat(nlp: Any) -> None:
    nlp.add_pipe("textcat")


PIPELINES = (
    Pipeline(
        "tagger",
        _tok2vec_and_tagger,
        lambda nlp, train, held: (sentences(nlp, "train", train), sentences(nlp, "dev", held)),
        lambda doc: [token.tag_ for token in doc],
    ),
    Pipeline(
        "textcat",
        _textcat,
        lambda nlp, train, held: (messages(nlp, 0, train), messages(nlp, train, held)),
        lambda doc: [max(doc.cats, key=doc.cats.get)],
    ),
)
