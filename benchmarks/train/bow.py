"""A bag of words: the mean of hashed embeddings, and a small classifier on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.train.task import Arrays, Layers, Problem, Task, hashed_rows, labels, lengths, linear
from triops import Ragged
from triops.models import HashEmbedBag, Relu, Softmax, chain

__all__ = ["BOW"]

_SEED = 7  # of the hash


def _problem(documents: int, shortest: int, longest: int, width: int, nV: int, classes: int) -> Problem:
    rng = np.random.default_rng(0)
    weights = {"E": rng.uniform(-0.1, 0.1, (nV, width)).astype("float32")}
    weights |= linear(rng, "hidden", width, width) | linear(rng, "out", classes, width)
    counts = lengths(rng, documents, shortest, longest)
    ids = rng.zipf(1.2, counts.sum()) % 2**40
    rows = hashed_rows(ids, _SEED, nV)
    batch = {"ids": ids, "rows": rows, "lengths": counts, "y": labels(rng, documents, classes)}
    extents = {
        "documents": documents, "words": int(counts.sum()), "width": width, "nV": nV, "classes": classes,
    }  # fmt: skip
    return Problem(extents, weights, batch, 3 * 2.0 * documents * width * (width + classes))


def _triops(array: Any, batch: Arrays, extents: Any) -> Layers:
    width, classes = extents["width"], extents["classes"]
    embed = HashEmbedBag(width, extents["nV"], seed=_SEED)
    hidden, out = Relu(width, width), Softmax(classes, width)
    X = Ragged(array(batch["ids"]), array(batch["lengths"]))
    places = [(embed, "E"), (hidden, "W"), (hidden, "b"), (out, "W"), (out, "b")]
    return Layers(chain(embed, hidden, out), X, places)


def _thinc(array: Any, batch: Arrays, extents: Any) -> Layers:
    from thinc.api import HashEmbed, Ragged, Relu, Softmax, chain, reduce_mean, with_array

    width, classes = extents["width"], extents["classes"]
    embed, hidden, out = HashEmbed(width, extents["nV"], seed=_SEED), Relu(width, width), Softmax(classes, width)
    X = Ragged(array(batch["ids"].astype("uint64")), array(batch["lengths"]))
    places = [(embed, "E"), (hidden, "W"), (hidden, "b"), (out, "W"), (out, "b")]
    return Layers(chain(with_array(embed), reduce_mean(), hidden, out), X, places)


def _torch(extents: Any) -> Any:
    from torch import nn

    width = extents["width"]

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.EmbeddingBag(extents["nV"], width, mode="sum")  # faster than mean
            self.hidden = nn.Linear(width, width)
            self.out = nn.Linear(width, extents["classes"])

        def prepare(self, batch: Arrays) -> Arrays:
            """All four rows of each word in one flat list, and where each document begins in it."""
            ends = batch["lengths"].cumsum(0)
            rows, starts = batch["rows"].flatten(), 4 * (ends - batch["lengths"])
            return {
                "rows": rows,
                "starts": starts.to(rows.dtype),
                "counts": batch["lengths"][:, None],
                "y": batch["y"],
            }

        def forward(self, rows: Any, starts: Any, counts: Any) -> Any:
            return self.out(self.hidden(self.embed(rows, starts) / counts).relu())

    return Classifier()


def _jax(w: Arrays, batch: Arrays) -> Any:
    from jax import nn, ops
    from jax import numpy as jnp

    from benchmarks.train.with_jax import cross_entropy

    rows, counts = batch["rows"], batch["lengths"]
    document = jnp.repeat(jnp.arange(len(counts)), counts, total_repeat_length=len(rows))
    words = w["E"][rows].sum(axis=1)
    totals = ops.segment_sum(words, document, len(counts), indices_are_sorted=True)
    hidden = nn.relu(totals / counts[:, None] @ w["hidden_W"].T + w["hidden_b"])
    return cross_entropy(hidden @ w["out_W"].T + w["out_b"], batch["y"])


BOW = Task(
    "bow",
    "256 documents of 20 to 200 words, mean of hash embeddings of width 64 of 20000 rows, 64 Relu, 2 classes",
    _problem,
    {
        "full": {"documents": 256, "shortest": 20, "longest": 200, "width": 64, "nV": 20000, "classes": 2},
        "small": {"documents": 12, "shortest": 1, "longest": 9, "width": 8, "nV": 30, "classes": 3},
    },
    triops=_triops,
    thinc=_thinc,
    torch=_torch,
    jax=_jax,
)
