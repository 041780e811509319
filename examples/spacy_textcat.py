"""A text categoriser in spaCy, which tells spam from other text messages. Its model is triops', or any object
with `begin_update` and the four methods that save it.

    TRIOPS_DATA=folder python examples/spacy_textcat.py --model own

The folder holds the SMS Spam Collection of the UCI repository, compressed: sms-spam-train.tsv.gz.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import thinc.api
from spacy.training import Example
from spacy.util import minibatch

from triops.models import extract_features, to_thinc

LABELS, ROWS, HELD = ("ham", "spam"), 2**14, 460
TRIOPS: dict[str, Any] = {
    "@architectures": "triops.TextCat.v1",
    "exclusive_classes": True,
    "tok2vec": {
        "@architectures": "triops.Tok2Vec.v1",
        "width": 64,
        "depth": 1,
        "embed_size": 2000,
        "window_size": 1,
        "maxout_pieces": 3,
        "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
    },
}
OWN: dict[str, Any] = {"@architectures": "bag_of_words.v1"}


class BagOfWords:
    """Logistic regression on the norms of a message's words, in NumPy alone: spaCy needs no more of a model."""

    def __init__(self) -> None:
        self.W = np.zeros((ROWS, len(LABELS)), "float32")

    def begin_update(self, docs: Any) -> tuple[Any, Callable[[Any], list[Any]]]:
        rows = [np.unique(ids[:, 0] % ROWS).astype("int64") for ids in extract_features(docs, ["NORM"])]
        scores = np.array([self.W[each].sum(axis=0) for each in rows]).reshape(-1, len(LABELS))
        Y = np.exp(scores - scores.max(axis=1, keepdims=True))
        Y /= Y.sum(axis=1, keepdims=True)

        def backprop(dY: Any) -> list[Any]:
            for each, d_scores in zip(rows, dY, strict=True):
                self.W[each] -= 0.5 * d_scores
            return []

        return Y, backprop

    def to_bytes(self) -> bytes:
        return self.W.tobytes()

    def from_bytes(self, data: bytes) -> BagOfWords:
        self.W = np.frombuffer(data, "float32").reshape(ROWS, len(LABELS)).copy()
        return self

    def to_disk(self, path: str | Path) -> None:
        Path(path).write_bytes(self.to_bytes())

    def from_disk(self, path: str | Path) -> BagOfWords:
        return self.from_bytes(Path(path).read_bytes())


def build_bag_of_words() -> Any:
    model = to_thinc(BagOfWords())
    model.set_dim("nO", len(LABELS))
    return model


spacy.registry.architectures.register("bag_of_words.v1", func=build_bag_of_words)


def read(nlp: Any, path: Path) -> list[Example]:
    """The messages, each with its category."""
    with gzip.open(path, "rt", encoding="utf8") as file:
        lines = [line.rstrip("\n").split("\t", 1) for line in file]
    return [
        Example.from_dict(nlp.make_doc(text), {"cats": {name: float(name == label) for name in LABELS}})
        for label, text in lines
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train a spaCy text categoriser with a triops model or your own."
    )
    parser.add_argument("--model", choices=("triops", "own"), default="triops")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--messages", type=int, help="as many of the training messages")
    args = parser.parse_args()
    folder = os.environ.get("TRIOPS_DATA")
    if not folder:
        sys.exit("set TRIOPS_DATA to the folder of sms-spam-train.tsv.gz")

    nlp = spacy.blank("en")
    nlp.add_pipe("textcat", config={"model": TRIOPS if args.model == "triops" else OWN})
    examples = read(nlp, Path(folder, "sms-spam-train.tsv.gz"))
    train, held = examples[:-HELD][: args.messages], examples[-HELD:]
    optimizer = nlp.initialize(lambda: train)
    thinc.api.fix_random_seed(0)
    for epoch in range(args.epochs):
        for batch in minibatch(train, 64):
            nlp.update(batch, sgd=optimizer, drop=0.1)
        scores = nlp.evaluate(held)["cats_f_per_type"]["spam"]
        print(
            f"epoch {epoch + 1}: {scores['p']:.1%} of what is called spam is, {scores['r']:.1%} of spam is found"
        )

    with tempfile.TemporaryDirectory() as path:
        nlp.to_disk(path)
        loaded = spacy.load(path)
    for doc in loaded.pipe(["WINNER! Claim your free prize now, call 09061701461", "See you at home for dinner"]):
        print(f"{doc.cats['spam']:.2f}  {doc.text}")


if __name__ == "__main__":
    main()
