"""Word classes of English text: hashed features of each word, and windows over each sentence.

    TRIOPS_DATA=folder python examples/tagger.py --backend numpy

The folder holds the English Web Treebank of universaldependencies.org, compressed: en_ewt-train.conllu.gz and
en_ewt-dev.conllu.gz.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

import triops
from triops import Ragged
from triops.models import (
    Adam,
    CategoricalCrossentropy,
    HashEmbed,
    Maxout,
    Model,
    Softmax,
    chain,
    clone,
    concatenate,
    expand_window,
    list2ragged,
    residual,
    with_array,
)

WIDTH, WORDS_A_BATCH = 96, 2000
Features = np.ndarray[tuple[int, int], np.dtype[np.uint64]]  # (words, 4)


def read(path: Path) -> tuple[list[Features], list[list[str]]]:
    """Of each sentence the ids of its words' features, (words, 4), and its word classes."""
    sentences: list[list[tuple[str, str]]] = [[]]
    with gzip.open(path, "rt", encoding="utf8") as file:
        for line in file:
            columns = line.split("\t")
            if columns[0].isdecimal():
                sentences[-1].append((columns[1], columns[3]))
            elif not line.strip() and sentences[-1]:
                sentences.append([])
    filled = [sentence for sentence in sentences if sentence]
    features = [np.array([ids_of(word) for word, _ in sentence], dtype="uint64") for sentence in filled]
    return features, [[tag for _, tag in sentence] for sentence in filled]


@cache
def ids_of(word: str) -> tuple[int, ...]:
    """The word in lower case, its first letter, its last three, and where it has capitals and digits."""
    shape = "".join("X" if c.isupper() else "d" if c.isdecimal() else "x" for c in word)
    return tuple(hash_of(text) for text in (word.lower(), word[:1], word[-3:], shape))


def hash_of(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def tagger(classes: int) -> Model:
    features = concatenate(*(HashEmbed(WIDTH, 5000 if i == 0 else 1000, seed=i, column=i) for i in range(4)))
    mix = Maxout(WIDTH, 4 * WIDTH, 3, normalize=True)
    encode = residual(chain(expand_window(1), with_array(Maxout(WIDTH, 3 * WIDTH, 3, normalize=True))))
    embed, predict = with_array(chain(features, mix)), with_array(Softmax(classes, WIDTH))
    return chain(list2ragged(), embed, clone(encode, 4), predict)


def batches(sentences: list[Features], epoch: int) -> Iterator[list[int]]:
    """Sentences by their number in an order of this epoch's own, about as many words in each batch."""
    batch, words = [], 0
    for number in np.random.default_rng(epoch).permutation(len(sentences)).tolist():
        batch.append(number)
        words += len(sentences[number])
        if words >= WORDS_A_BATCH:
            yield batch
            batch, words = [], 0
    if batch:
        yield batch


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a tagger of English words with triops.")
    parser.add_argument("--backend", default="numpy", help="numpy, cupy or jax")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--sentences", type=int, help="as many of the training sentences")
    args = parser.parse_args()
    folder = os.environ.get("TRIOPS_DATA")
    if not folder:
        sys.exit("set TRIOPS_DATA to the folder of en_ewt-train.conllu.gz and en_ewt-dev.conllu.gz")
    (X, tags), (X_dev, tags_dev) = (read(Path(folder, f"en_ewt-{part}.conllu.gz")) for part in ("train", "dev"))
    X, tags = X[: args.sentences], tags[: args.sentences]
    names = sorted({tag for sentence in tags for tag in sentence})

    with triops.use_ops(args.backend) as ops:
        model = tagger(len(names)).initialize([ops.asarray(X[0])])
    loss, optimizer = CategoricalCrossentropy(names=names), Adam(0.002)
    for epoch in range(args.epochs):
        start, words = time.perf_counter(), 0
        for batch in batches(X, epoch):
            Yh, backprop = model.begin_update([ops.asarray(X[n]) for n in batch], drop=0.1)
            dYh = loss.get_grad(Yh.data, [tag for n in batch for tag in tags[n]])
            backprop(Ragged(dYh, Yh.lengths), sgd=optimizer)
            words += Yh.data.shape[0]
        speed = words / (time.perf_counter() - start)
        guesses = ops.to_numpy(model.predict([ops.asarray(x) for x in X_dev]).data).argmax(axis=1)
        right = np.mean([names[guess] for guess in guesses] == np.concatenate(tags_dev))
        print(f"epoch {epoch + 1}: {speed:,.0f} words a second, {right:.1%} of {len(guesses):,} words right")


if __name__ == "__main__":
    main()
