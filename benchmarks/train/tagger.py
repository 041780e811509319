"""A tagger as in spaCy's small pipelines: hashed words, and blocks that see one more neighbour each. The window
runs over all rows as over one sequence: with lengths PyTorch and JAX would have to mask, for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.train.task import Arrays, Layers, Problem, Task, hashed_rows, labels, linear
from triops.models import HashEmbed, Maxout, Softmax, chain, expand_window, residual

__all__ = ["TAGGER"]

_SEED = 7  # of the hash
_PIECES = 3
_EPS = 1e-8  # of layer normalisation, in triops and in Thinc


def _problem(rows: int, width: int, nV: int, blocks: int, classes: int) -> Problem:
    rng = np.random.default_rng(0)
    weights = {"E": rng.uniform(-0.1, 0.1, (nV, width)).astype("float32")}
    for block in range(blocks):
        weights |= linear(rng, f"block{block}", _PIECES * width, 3 * width)
        weights[f"norm{block}_G"] = rng.uniform(0.5, 1.5, width).astype("float32")
        weights[f"norm{block}_b"] = rng.uniform(-0.1, 0.1, width).astype("float32")
    weights |= linear(rng, "out", classes, width)
    ids = rng.zipf(1.2, rows) % 2**40
    batch = {"ids": ids, "rows": hashed_rows(ids, _SEED, nV), "y": labels(rng, rows, classes)}
    products = blocks * 3 * width * _PIECES * width + width * classes
    extents = {"rows": rows, "width": width, "nV": nV, "blocks": blocks, "classes": classes}
    return Problem(extents, weights, batch, 3 * 2.0 * rows * products)


def _triops(array: Any, batch: Arrays, extents: Any) -> Layers:
    width, classes = extents["width"], extents["classes"]
    embed, out = HashEmbed(width, extents["nV"], seed=_SEED), Softmax(classes, width)
    hidden = [Maxout(width, 3 * width, _PIECES, normalize=True) for _ in range(extents["blocks"])]
    model = chain(embed, *(residual(chain(expand_window(1), layer)) for layer in hidden), out)
    places = [(embed, "E")]
    for layer in hidden:
        places += [(layer, "W"), (layer, "b"), (layer.layers[0], "G"), (layer.layers[0], "b")]
    return Layers(model, array(batch["ids"]), [*places, (out, "W"), (out, "b")])


def _thinc(array: Any, batch: Arrays, extents: Any) -> Layers:
    from thinc.api import HashEmbed, LayerNorm, Maxout, Softmax, chain, expand_window, residual

    width, classes = extents["width"], extents["classes"]
    embed, out = HashEmbed(width, extents["nV"], seed=_SEED), Softmax(classes, width)
    hidden = [Maxout(width, 3 * width, _PIECES) for _ in range(extents["blocks"])]
    norms = [LayerNorm(width) for _ in hidden]
    blocks = [residual(chain(expand_window(1), layer, norm)) for layer, norm in zip(hidden, norms, strict=True)]
    places = [(embed, "E")]
    for layer, norm in zip(hidden, norms, strict=True):
        places += [(layer, "W"), (layer, "b"), (norm, "G"), (norm, "b")]
    return Layers(
        chain(embed, *blocks, out), array(batch["ids"].astype("uint64")), [*places, (out, "W"), (out, "b")]
    )


def _torch(extents: Any) -> Any:
    import torch
    from torch import nn
    from torch.nn.functional import pad

    width = extents["width"]

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3 * width, _PIECES * width)
            self.norm = nn.LayerNorm(width, eps=_EPS)

        def forward(self, X: Any) -> Any:
            padded = pad(X, (0, 0, 1, 1))
            pieces = self.linear(torch.cat([padded[:-2], X, padded[2:]], 1)).view(-1, width, _PIECES)
            # Eager, max is faster; compiled by PyTorch 2.13, its gradient is wrong.
            best = pieces.amax(-1) if torch.compiler.is_compiling() else pieces.max(-1).values
            return X + self.norm(best)

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.EmbeddingBag(extents["nV"], width, mode="sum")
            self.blocks = nn.Sequential(*(Block() for _ in range(extents["blocks"])))
            self.out = nn.Linear(width, extents["classes"])

        def forward(self, ids: Any, rows: Any) -> Any:
            return self.out(self.blocks(self.embed(rows)))

    return Tagger()


def _jax(w: Arrays, batch: Arrays) -> Any:
    from jax import numpy as jnp

    from benchmarks.train.with_jax import cross_entropy, layer_norm, maxout

    X = w["E"][batch["rows"]].sum(axis=1)
    block = 0
    while f"block{block}_W" in w:
        gap = jnp.zeros_like(X[:1])
        window = jnp.concatenate([jnp.concatenate([gap, X[:-1]]), X, jnp.concatenate([X[1:], gap])], axis=1)
        pieces = window @ w[f"block{block}_W"].T + w[f"block{block}_b"]
        best = maxout(pieces.reshape(len(X), -1, _PIECES))
        X = X + layer_norm(best, w[f"norm{block}_G"], w[f"norm{block}_b"], _EPS)
        block += 1
    return cross_entropy(X @ w["out_W"].T + w["out_b"], batch["y"])


TAGGER = Task(
    "tagger",
    "2000 tokens, hash embedding 96 of 5000 rows, 4 residual blocks of window and maxout 96x3 and layer norm, "
    "17 tags; the window runs over all rows as one sequence",
    _problem,
    {
        "full": {"rows": 2000, "width": 96, "nV": 5000, "blocks": 4, "classes": 17},
        "small": {"rows": 30, "width": 8, "nV": 20, "blocks": 2, "classes": 5},
    },
    triops=_triops,
    thinc=_thinc,
    torch=_torch,
    jax=_jax,
)
