"""A PyTorch LSTM in the middle of a triops tagger: triops' hashed features before it, its softmax after it.

    TRIOPS_DATA=folder python examples/pytorch_tagger.py --backend numpy --sentences 2000

The folder is that of tagger.py, whose data and features these are.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tagger import batches, read

import triops
from triops import Padded, Ragged
from triops.models import (
    Adam,
    CategoricalCrossentropy,
    HashEmbed,
    Maxout,
    Model,
    PyTorchWrapper,
    Softmax,
    chain,
    concatenate,
    list2ragged,
    with_array,
    with_padded,
)

WIDTH = 64


class BiLSTM(torch.nn.Module):  # type: ignore[misc]
    """An LSTM in both directions that stops where each sequence ends."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(width, width // 2, bidirectional=True)

    def forward(self, X: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = torch.nn.utils.rnn.pack_padded_sequence(X, lengths.cpu().long())
        return torch.nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0])[0]


class OverPadded(Model):
    """A wrapped module of (steps, lengths), over Padded."""

    def __init__(self, wrapped: Model) -> None:
        super().__init__(layers=[wrapped])

    def begin_update(self, X: Padded, drop: float | None = 0.0) -> tuple[Padded, Any]:
        Y, backprop_wrapped = self.layers[0].begin_update((X.data, X.lengths), drop)

        def backprop(dY: Padded, sgd: Any = None) -> Padded:
            dX, _ = backprop_wrapped(dY.data)  # lengths have no gradient
            return replace(dY, data=dX)

        return replace(X, data=Y), backprop


def tagger(classes: int, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    features = concatenate(*(HashEmbed(WIDTH, 5000 if i == 0 else 1000, seed=i, column=i) for i in range(4)))
    embed = with_array(chain(features, Maxout(WIDTH, 4 * WIDTH, 3, normalize=True)))
    lstm = with_padded(OverPadded(PyTorchWrapper(BiLSTM(WIDTH))))
    predict = with_array(Softmax(classes, WIDTH))
    return chain(list2ragged(), embed, lstm, predict)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a tagger of English words with a PyTorch LSTM inside.")
    parser.add_argument("--backend", default="numpy", choices=["numpy", "jax"])
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
    loss, optimizer = CategoricalCrossentropy(names=names), Adam(0.005)
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
