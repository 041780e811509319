"""Real text from the folder that TRIOPS_DATA names, as spaCy's Docs and Examples."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from spacy.tokens import Doc
from spacy.training import Example

__all__ = ["messages", "sentences"]


def sentences(nlp: Any, part: str, count: int) -> list[Example]:
    """The first sentences of the English Web Treebank with their tags."""
    return [_tagged(nlp, *sentence) for sentence in _read_sentences(_file(f"en_ewt-{part}.conllu.gz"), count)]


def messages(nlp: Any, first: int, count: int) -> list[Example]:
    """Text messages from number `first` on, each `ham` or `spam`."""
    with gzip.open(_file("sms-spam-train.tsv.gz"), "rt", encoding="utf8") as file:
        lines = [line.rstrip("\n").split("\t", 1) for line in file]
    return [
        Example.from_dict(nlp.make_doc(text), {"cats": {name: float(name == label) for name in ("ham", "spam")}})
        for label, text in lines[first : first + count]
    ]


def _file(name: str) -> Path:
    folder = os.environ.get("TRIOPS_DATA")
    path = Path(folder or ".", name)
    if not folder or not path.is_file():
        raise typer.BadParameter(f"set TRIOPS_DATA to the folder of {name}", param_hint="TRIOPS_DATA")
    return path


def _read_sentences(path: Path, count: int) -> Iterator[tuple[list[str], list[bool], list[str]]]:
    words: list[tuple[str, bool, str]] = []
    with gzip.open(path, "rt", encoding="utf8") as file:
        for line in file:
            columns = line.rstrip("\n").split("\t")
            if columns[0].isdecimal():
                words.append((columns[1], "SpaceAfter=No" not in columns[9], columns[4]))
            elif len(columns) == 1 and not columns[0] and words:
                yield tuple(map(list, zip(*words, strict=True)))  # type: ignore[misc]
                words, count = [], count - 1
                if not count:
                    return


def _tagged(nlp: Any, words: list[str], spaces: list[bool], tags: list[str]) -> Example:
    return Example.from_dict(Doc(nlp.vocab, words=words, spaces=spaces), {"words": words, "tags": tags})
