"""The English Web Treebank from the folder that TRIOPS_DATA names, in batches of whole sentences."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer

from examples.tagger import read

__all__ = ["WORDS_A_BATCH", "Batch", "Text", "equal_batches", "read_text", "varied_batches"]

WORDS_A_BATCH = 2000
_SPREAD = 200  # words more or fewer


class Text(NamedTuple):
    """Of each sentence the ids of its words' features, (words, 4), and the numbers of its tags among these."""

    sentences: list[Any]
    tags: list[Any]
    names: list[str]


class Batch(NamedTuple):
    """Sentences, and the tags of all their words one after another."""

    sentences: Sequence[Any]
    tags: Any


def read_text(part: str, names: Sequence[str] = ()) -> Text:
    """A part of the treebank, `train` or `dev`. names: the tags; those of this part where there are none yet."""
    folder = os.environ.get("TRIOPS_DATA")
    path = Path(folder or ".", f"en_ewt-{part}.conllu.gz")
    if not folder or not path.is_file():
        raise typer.BadParameter(f"set TRIOPS_DATA to the folder of {path.name}", param_hint="TRIOPS_DATA")
    sentences, tags = read(path)
    known = list(names) or sorted({tag for sentence in tags for tag in sentence})
    numbers = {name: number for number, name in enumerate(known)}
    return Text(sentences, [np.array([numbers[tag] for tag in sentence], "int32") for sentence in tags], known)


def varied_batches(text: Text) -> Iterator[Batch]:
    """Endlessly batches of about 2000 words, epoch by epoch in another order, each of a number of words that none
    had before."""
    draws, seen, chosen, words = np.random.default_rng(0), set(), [], 0
    least = _least(draws)
    for _ in count():
        for number in draws.permutation(len(text.sentences)).tolist():
            chosen.append(number)
            words += len(text.sentences[number])
            if words >= least and words not in seen:
                seen.add(words)
                yield Batch([text.sentences[n] for n in chosen], np.concatenate([text.tags[n] for n in chosen]))
                chosen, words, least = [], 0, _least(draws)


def equal_batches(text: Text, sentences: int = 125) -> Iterator[Batch]:
    """Endlessly batches of as many words each, in so many sentences of one length, cut out of the text."""
    words, tags = np.concatenate(text.sentences), np.concatenate(text.tags)
    for number in count():
        start = number * WORDS_A_BATCH % (len(words) - WORDS_A_BATCH)
        cut = slice(start, start + WORDS_A_BATCH)
        yield Batch(np.split(words[cut], sentences), tags[cut])


def _least(draws: np.random.Generator) -> int:
    return int(draws.integers(WORDS_A_BATCH - _SPREAD, WORDS_A_BATCH + _SPREAD))
