"""A spaCy pipeline whose models are triops': tags of English text.

    TRIOPS_DATA=folder python examples/spacy_tagger.py

The folder holds the English Web Treebank of universaldependencies.org, compressed: en_ewt-train.conllu.gz and
en_ewt-dev.conllu.gz. The config below is what `spacy train` takes, too.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import spacy
import thinc.api
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words

CONFIG = """
[nlp]
lang = "en"
pipeline = ["tok2vec", "tagger"]

[components]

[components.tok2vec]
factory = "tok2vec"

[components.tok2vec.model]
@architectures = "triops.Tok2Vec.v1"
width = 96
depth = 4
embed_size = 2000
window_size = 1
maxout_pieces = 3
attrs = ["NORM", "PREFIX", "SUFFIX", "SHAPE"]

[components.tagger]
factory = "tagger"

[components.tagger.model]
@architectures = "triops.Tagger.v1"

[components.tagger.model.tok2vec]
@architectures = "spacy.Tok2VecListener.v1"
width = ${components.tok2vec.model.width}
"""


def read(nlp: Any, path: Path) -> list[Example]:
    """The sentences as Docs, with their tags."""
    sentences: list[list[list[str]]] = [[]]
    with gzip.open(path, "rt", encoding="utf8") as file:
        for line in file:
            columns = line.rstrip("\n").split("\t")
            if columns[0].isdecimal():
                sentences[-1].append(columns)
            elif not line.strip() and sentences[-1]:
                sentences.append([])
    return [example_of(nlp, rows) for rows in sentences if rows]


def example_of(nlp: Any, rows: list[list[str]]) -> Example:
    words, tags = [row[1] for row in rows], [row[4] for row in rows]
    doc = Doc(nlp.vocab, words=words, spaces=["SpaceAfter=No" not in row[9] for row in rows])
    return Example.from_dict(doc, {"words": words, "tags": tags})


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a spaCy tagger with triops' models.")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--sentences", type=int, help="as many of the training sentences")
    args = parser.parse_args()
    folder = os.environ.get("TRIOPS_DATA")
    if not folder:
        sys.exit("set TRIOPS_DATA to the folder of en_ewt-train.conllu.gz and en_ewt-dev.conllu.gz")

    nlp = spacy.util.load_model_from_config(thinc.api.Config().from_str(CONFIG), auto_fill=True)
    train, dev = (read(nlp, Path(folder, f"en_ewt-{part}.conllu.gz")) for part in ("train", "dev"))
    train = list(islice(train, args.sentences))
    optimizer = nlp.initialize(lambda: train)
    thinc.api.fix_random_seed(0)
    for epoch in range(args.epochs):
        start = time.perf_counter()
        for batch in minibatch_by_words(train, size=2000):
            nlp.update(batch, sgd=optimizer, drop=0.1)
        speed = sum(len(example.reference) for example in train) / (time.perf_counter() - start)
        right = nlp.evaluate(dev)["tag_acc"]
        print(f"epoch {epoch + 1}: {speed:,.0f} words a second, {right:.1%} of the tags right")

    with tempfile.TemporaryDirectory() as path:
        nlp.to_disk(path)
        loaded = spacy.load(path)
    (doc,) = loaded.pipe(["I can open the can."])
    print(" ".join(f"{token.text}/{token.tag_}" for token in doc))


if __name__ == "__main__":
    main()
