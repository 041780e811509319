"""A transformer encoder, pre-norm, over sequences of unequal length. Everyone keeps the rows of all sequences one
after another for what works row by row, and pads them for attention alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.train.task import Arrays, Layers, Problem, Task, labels, lengths, linear
from triops import Ragged
from triops.models import Gelu, LayerNorm, Linear, MultiHeadAttention, Softmax, chain, residual, with_array

__all__ = ["TRANSFORMER"]

_EPS = 1e-8  # of layer normalisation, as in triops


def _problem(
    sequences: int, shortest: int, longest: int, width: int, heads: int, layers: int, classes: int
) -> Problem:
    rng = np.random.default_rng(0)
    counts = lengths(rng, sequences, shortest, longest)
    rows = int(counts.sum())
    weights: Arrays = {}
    for layer in range(layers):
        weights |= _norm(rng, f"layer{layer}_norm1", width)
        weights |= linear(rng, f"layer{layer}_qkv", 3 * width, width)
        weights |= linear(rng, f"layer{layer}_mixed", width, width)
        weights |= _norm(rng, f"layer{layer}_norm2", width)
        weights |= linear(rng, f"layer{layer}_wide", 4 * width, width)
        weights |= linear(rng, f"layer{layer}_narrow", width, 4 * width)
    weights |= _norm(rng, "norm", width) | linear(rng, "out", classes, width)
    batch = {
        "X": rng.standard_normal((rows, width), dtype="float32"),
        "lengths": counts,
        "y": labels(rng, rows, classes),
    }
    extents = {
        "sequences": sequences, "rows": rows, "longest": longest, "width": width, "heads": heads,
        "layers": layers, "classes": classes,
    }  # fmt: skip
    by_rows = rows * (layers * 12 * width * width + width * classes)
    pairs = layers * 2 * width * int((counts.astype("int64") ** 2).sum())
    # Nothing asks for the gradient of X, but the way around the first layer has no product.
    return Problem(extents, weights, batch, 3 * 2.0 * (by_rows + pairs))


def _norm(rng: Any, prefix: str, width: int) -> Arrays:
    return {
        f"{prefix}_G": rng.uniform(0.5, 1.5, width).astype("float32"),
        f"{prefix}_b": rng.uniform(-0.1, 0.1, width).astype("float32"),
    }


def _padding(counts: Any) -> tuple[Any, Any, Any]:
    """Where each padded row comes from, whether it is there at all, and where each row goes to."""
    starts, steps = np.cumsum(counts) - counts, np.arange(counts.max())
    inside = steps < counts[:, None]
    index = np.where(inside, starts[:, None] + steps, 0)
    return index, inside, np.flatnonzero(inside)


def _triops(array: Any, batch: Arrays, extents: Any) -> Layers:
    width, blocks, places = extents["width"], [], []
    for _ in range(extents["layers"]):
        norm1, attention = LayerNorm(width), MultiHeadAttention(width, width, heads=extents["heads"])
        norm2, wide, narrow = LayerNorm(width), Gelu(4 * width, width), Linear(width, 4 * width)
        blocks.append(residual(chain(with_array(norm1), attention)))
        blocks.append(with_array(residual(chain(norm2, wide, narrow))))
        places += [(norm1, "G"), (norm1, "b")]
        places += [(attention, name) for name in ("W", "b", "Wo", "bo")]
        places += [(norm2, "G"), (norm2, "b"), (wide, "W"), (wide, "b"), (narrow, "W"), (narrow, "b")]
    norm, out = LayerNorm(width), Softmax(extents["classes"], width)
    places += [(norm, "G"), (norm, "b"), (out, "W"), (out, "b")]
    X = Ragged(array(batch["X"]), array(batch["lengths"]))
    return Layers(chain(*blocks, with_array(chain(norm, out))), X, places)


def _torch(extents: Any) -> Any:
    import torch
    from torch import nn
    from torch.nn.functional import scaled_dot_product_attention

    width, heads = extents["width"], extents["heads"]

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width, eps=_EPS)
            self.qkv = nn.Linear(width, 3 * width)
            self.mixed = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width, eps=_EPS)
            self.wide = nn.Linear(width, 4 * width)
            self.narrow = nn.Linear(4 * width, width)

        def forward(self, X: Any, index: Any, mask: Any, back: Any) -> Any:
            X = X + self.mixed(self.attend(self.qkv(self.norm1(X)), index, mask, back))
            return X + self.narrow(nn.functional.gelu(self.wide(self.norm2(X))))

        def attend(self, qkv: Any, index: Any, mask: Any, back: Any) -> Any:
            padded = qkv.index_select(0, index.flatten())  # faster than copying into zeros
            q, k, v = padded.view(*index.shape, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            Y = scaled_dot_product_attention(q, k, v, attn_mask=mask)
            return Y.transpose(1, 2).reshape(-1, width).index_select(0, back)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Layer() for _ in range(extents["layers"]))
            self.norm = nn.LayerNorm(width, eps=_EPS)
            self.out = nn.Linear(width, extents["classes"])

        def prepare(self, batch: Arrays) -> Arrays:
            """Where the rows lie when they are padded."""
            index, inside, back = map(torch.from_numpy, _padding(batch["lengths"].numpy()))
            floor = torch.zeros(inside.shape, dtype=batch["X"].dtype).masked_fill(~inside, -torch.inf)
            mask = floor[:, None, None, :]
            return {"X": batch["X"], "index": index, "mask": mask, "back": back, "y": batch["y"]}

        def forward(self, X: Any, index: Any, mask: Any, back: Any) -> Any:
            for layer in self.layers:
                X = layer(X, index, mask, back)
            return self.out(self.norm(X))

    return Encoder()


def _prepare_jax(batch: Arrays) -> Arrays:
    index, inside, back = _padding(batch["lengths"])
    return {"X": batch["X"], "y": batch["y"], "index": index, "inside": inside.astype("float32"), "back": back}


def _jax_with(heads: int) -> Any:
    def loss(w: Arrays, batch: Arrays) -> Any:
        import jax
        from jax import numpy as jnp

        from benchmarks.train.with_jax import cross_entropy, layer_norm, pad_rows, unpad_rows

        padding = index, inside, _ = batch["index"], batch["inside"], batch["back"]

        def affine(X: Any, part: str) -> Any:
            return X @ w[f"{part}_W"].T + w[f"{part}_b"]

        def norm(X: Any, part: str) -> Any:
            return layer_norm(X, w[f"{part}_G"], w[f"{part}_b"], _EPS)

        def attend(qkv: Any) -> Any:
            q, k, v = jnp.moveaxis(pad_rows(qkv, padding).reshape(*index.shape, 3, heads, -1), 2, 0)
            scores = jnp.einsum("nqhd,nkhd->nhqk", q, k) * q.shape[-1] ** -0.5
            weights = jax.nn.softmax(jnp.where(inside[:, None, None, :] > 0, scores, -jnp.inf))
            Y = jnp.einsum("nhqk,nkhd->nqhd", weights, v)
            return unpad_rows(Y.reshape(*index.shape, -1), padding)

        X, layer = batch["X"], 0
        while f"layer{layer}_qkv_W" in w:
            part = f"layer{layer}"
            X = X + affine(attend(affine(norm(X, f"{part}_norm1"), f"{part}_qkv")), f"{part}_mixed")
            wide = jax.nn.gelu(affine(norm(X, f"{part}_norm2"), f"{part}_wide"), approximate=False)
            X = X + affine(wide, f"{part}_narrow")
            layer += 1
        return cross_entropy(affine(norm(X, "norm"), "out"), batch["y"])

    return loss


_HEADS = 4

TRANSFORMER = Task(
    "transformer",
    "64 sequences of 10 to 60 rows, 4 pre-norm encoder layers of width 128, 4 heads, 512 gelu, 17 tags",
    _problem,
    {
        "full": {
            "sequences": 64, "shortest": 10, "longest": 60, "width": 128, "heads": _HEADS, "layers": 4,
            "classes": 17,
        },
        "small": {
            "sequences": 5, "shortest": 1, "longest": 6, "width": 8, "heads": _HEADS, "layers": 2, "classes": 4,
        },
    },
    triops=_triops,
    torch=_torch,
    jax=_jax_with(_HEADS),
    prepare_jax=_prepare_jax,
    # The gradient of the keys' bias is nothing but rounding, of which Adam makes steps.
    tolerance=0.4,
    absent={"thinc": "it has no attention"},
)  # fmt: skip
