"""A tagger of two bidirectional LSTM layers, over sequences of unequal length. What h and c start as is trained,
too, as it is in triops."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.train.task import Arrays, Layers, Place, Problem, Task, glorot, labels, lengths, linear
from triops import Ragged
from triops.models import LSTM, Softmax, chain, with_array

__all__ = ["BILSTM"]

_DEPTH = 2
_DIRECTIONS = 2
# Thinc's gates are forget, input, output, cell; those here, as PyTorch's, input, forget, cell, output. Both
# ways it is the same exchange.
_OTHER_GATES = (1, 0, 3, 2)


def _problem(sequences: int, shortest: int, longest: int, nI: int, width: int, classes: int) -> Problem:
    """width: of a layer's output, one half from each direction."""
    rng = np.random.default_rng(0)
    counts = lengths(rng, sequences, shortest, longest)
    rows = int(counts.sum())
    state = (_DEPTH * _DIRECTIONS, width // _DIRECTIONS)
    weights, products = {name: np.zeros(state, "float32") for name in ("h", "c")}, width * classes
    for layer, direction, nO, wide in _parts(nI, width):
        part = f"lstm{layer}{direction}"
        weights[f"{part}_W"], weights[f"{part}_U"] = glorot(rng, 4 * nO, wide), glorot(rng, 4 * nO, nO)
        for bias in ("b", "c"):
            weights[f"{part}_{bias}"] = rng.uniform(-0.1, 0.1, 4 * nO).astype("float32")
        products += 4 * nO * (wide + nO)
    weights |= linear(rng, "out", classes, width)
    batch = {
        "X": rng.standard_normal((rows, nI), dtype="float32"),
        "lengths": counts,
        "y": labels(rng, rows, classes),
    }
    extents = {"sequences": sequences, "rows": rows, "nI": nI, "width": width, "classes": classes}
    # Nothing asks for the gradient of X.
    return Problem(extents, weights, batch, 2.0 * rows * (3 * products - _DIRECTIONS * 2 * width * nI))


def _parts(nI: int, width: int) -> list[tuple[int, str, int, int]]:
    """Layer, direction, the width of its output and of its input."""
    return [
        (layer, direction, width // _DIRECTIONS, width if layer else nI)
        for layer in range(_DEPTH)
        for direction in ("", "_reverse")
    ]


def _places(lstm: Any, out: Any, nI: int, width: int) -> list[Any]:
    """Of triops and of Thinc: all of an LSTM's weights and biases in one vector, and its first states in one
    array."""
    state = Place(lstm, "HC0", 2, np.stack, lambda array: list(array.reshape(2, _DEPTH * _DIRECTIONS, -1)))
    return [state, _flat_place(lstm, nI, width), (out, "W"), (out, "b")]


def _flat_place(layer: Any, nI: int, width: int) -> Place:
    shapes = [
        shape
        for _, _, nO, wide in _parts(nI, width)
        for shape in ((4 * nO, wide), (4 * nO, nO), (4 * nO,), (4 * nO,))
    ]

    def join(arrays: Any) -> Any:
        pieces = []
        for start in range(0, len(arrays), 4):
            W, U, b, c = (_exchange(array) for array in arrays[start : start + 4])
            pieces += [W.ravel(), b, U.ravel(), c]
        return np.concatenate(pieces)

    def split(flat: Any) -> list[Any]:
        arrays, at = [], 0
        for start in range(0, len(shapes), 4):
            W, U, b, c = shapes[start : start + 4]
            found = {}
            for name, shape in (("W", W), ("b", b), ("U", U), ("c", c)):
                size = int(np.prod(shape))
                found[name] = _exchange(flat[at : at + size].reshape(shape))
                at += size
            arrays += [found[name] for name in "WUbc"]
        return arrays

    return Place(layer, "LSTM", len(shapes), join, split)


def _exchange(array: Any) -> Any:
    return np.concatenate([np.split(array, 4)[gate] for gate in _OTHER_GATES])


def _triops(array: Any, batch: Arrays, extents: Any) -> Layers:
    nI, width = extents["nI"], extents["width"]
    lstm, out = LSTM(width, nI, bi=True, depth=_DEPTH), Softmax(extents["classes"], width)
    X = Ragged(array(batch["X"]), array(batch["lengths"]))
    return Layers(chain(lstm, with_array(out)), X, _places(lstm, out, nI, width))


def _thinc(array: Any, batch: Arrays, extents: Any) -> Layers:
    from thinc.api import LSTM, Ragged, Softmax, chain, with_array, with_padded

    nI, width = extents["nI"], extents["width"]
    lstm, out = LSTM(width, nI, bi=True, depth=_DEPTH), Softmax(extents["classes"], width)
    model = chain(with_padded(lstm), with_array(out))
    X = Ragged(array(batch["X"]), array(batch["lengths"]))
    lstm.initialize()
    return Layers(model, X, _places(lstm, out, nI, width))


def _torch(extents: Any) -> Any:
    import torch
    from torch import nn
    from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_sequence

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            states = _DEPTH * _DIRECTIONS, 1, extents["width"] // _DIRECTIONS
            self.h, self.c = (nn.Parameter(torch.zeros(states)) for _ in range(2))
            self.lstm = nn.LSTM(extents["nI"], extents["width"] // 2, _DEPTH, bidirectional=True)
            self.out = nn.Linear(extents["width"], extents["classes"])

        def prepare(self, batch: Arrays) -> Arrays:
            """Packed: step by step, the rows of all sequences that are that long. The labels likewise."""
            counts = batch["lengths"]
            self.sequences = len(counts)

            def packed(rows: Any) -> Any:
                padded = pad_sequence(rows.split(counts.tolist()))
                return pack_padded_sequence(padded, counts, enforce_sorted=False)

            X = packed(batch["X"])
            return {"X": X.data, "sizes": X.batch_sizes, "y": packed(batch["y"]).data}

        def forward(self, X: Any, sizes: Any) -> Any:
            start = self.h.expand(-1, self.sequences, -1), self.c.expand(-1, self.sequences, -1)
            return self.out(self.lstm(PackedSequence(X, sizes), start)[0].data)

    return Tagger()


def _jax(w: Arrays, batch: Arrays) -> Any:
    import jax
    from jax import numpy as jnp

    from benchmarks.train.with_jax import cross_entropy, pad_rows, unpad_rows

    X, padding = batch["X"], (batch["index"], batch["inside"], batch["back"])

    def direction(X: Any, part: str, number: int, reverse: bool) -> Any:
        U = w[f"{part}_U"].T
        inputs = pad_rows(X @ w[f"{part}_W"].T + (w[f"{part}_b"] + w[f"{part}_c"]), padding)

        def step(state: Any, at: Any) -> Any:
            h, c = state
            given, here = at
            i, f, g, o = jnp.split(given + h @ U, 4, axis=-1)
            new_c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            new_h = jax.nn.sigmoid(o) * jnp.tanh(new_c)
            # From the end on the way back, a sequence waits in its first state until it begins.
            h, c = jnp.where(here, new_h, h), jnp.where(here, new_c, c)
            return (h, c), h

        start = tuple(jnp.broadcast_to(w[name][number], (inputs.shape[1], len(U))) for name in "hc")
        inside = batch["inside"][..., None] > 0
        _, H = jax.lax.scan(step, start, (inputs, inside), reverse=reverse)
        return unpad_rows(H, padding)

    for layer in range(_DEPTH):
        forward = direction(X, f"lstm{layer}", 2 * layer, False)
        X = jnp.concatenate([forward, direction(X, f"lstm{layer}_reverse", 2 * layer + 1, True)], axis=1)
    return cross_entropy(X @ w["out_W"].T + w["out_b"], batch["y"])


def _prepare_jax(batch: Arrays) -> Arrays:
    """Where the rows of each step lie, which of them are there, and the way back."""
    counts = batch["lengths"]
    starts, steps = np.cumsum(counts) - counts, np.arange(counts.max())[:, None]
    inside = steps < counts
    index = np.where(inside, starts + steps, 0)
    back = np.empty(len(batch["y"]), "int32")
    back[index[inside]] = np.flatnonzero(inside)
    return {"X": batch["X"], "y": batch["y"], "index": index, "inside": inside.astype("float32"), "back": back}


BILSTM = Task(
    "bilstm",
    "64 sequences of 5 to 40 rows of width 128, two bidirectional LSTM layers of width 128 (64 a direction), "
    "17 tags",
    _problem,
    {
        "full": {"sequences": 64, "shortest": 5, "longest": 40, "nI": 128, "width": 128, "classes": 17},
        "small": {"sequences": 5, "shortest": 1, "longest": 6, "nI": 6, "width": 8, "classes": 4},
    },
    triops=_triops,
    thinc=_thinc,
    torch=_torch,
    jax=_jax,
    prepare_jax=_prepare_jax,
    untrained={"thinc": "the gradient of Thinc's LSTM is wrong; only the loss of the first step is compared"},
)
