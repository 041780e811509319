"""Layers by themselves, forward and backward, and three whole models, to train and to predict with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from triops.bench.cases.arrays import floats, host, lengths_between
from triops.bench.cases.case import Shape
from triops.bench.cases.model import ModelCase
from triops.models import (
    GRU,
    LSTM,
    Embed,
    Gelu,
    HashEmbed,
    LayerNorm,
    Linear,
    Maxout,
    Mish,
    Model,
    MultiHeadAttention,
    Relu,
    Softmax,
    TransformerEncoderLayer,
    chain,
    expand_window,
    reduce_mean,
    residual,
    with_array,
)
from triops.ragged import Ragged

__all__ = ["LAYERS", "PREDICT", "TRAIN"]

_TABLE_ROWS = 5000
_HASH_SEED = 7
_CLASSES = 17
_PIECES = 3
_HEADS = 4

_ROWS = {"small": [(20, 96, 96)], "typical": [(2000, 96, 288)], "large": [(8000, 288, 1152)]}  # rows, nI, nO
_WIDE_ROWS = {"small": [(20, 96)], "typical": [(2000, 288)], "large": [(8000, 1152)]}
_SEQUENCES = {
    "small": [(4, 16, 16)],
    "typical": [(32, 40, 96)],
    "large": [(64, 60, 256)],
}
_MODELS: dict[str, dict[str, list[Shape]]] = {
    "mlp": {"small": [(1, 784, 512)], "typical": [(128, 784, 512)], "large": [(1024, 784, 1024)]},
    "tagger": {"small": [(20, 96)], "typical": [(2000, 96)], "large": [(8000, 256)]},
    "transformer": {"small": [(1, 20, 64)], "typical": [(32, 40, 96)], "large": [(64, 100, 256)]},
}


# -- inputs


def _rows(rows: int, nI: int, *more: int) -> Any:
    return floats(rows, nI)


def _ids(rows: int, *more: int) -> Any:
    return host().random.default_rng(1).integers(0, _TABLE_ROWS, rows, dtype="int64")


def _lengths(count: int, longest: int) -> Any:
    return lengths_between(max(1, longest // 8), longest, count)


def _ragged(count: int, longest: int, width: int) -> Ragged:
    lengths = _lengths(count, longest)
    return Ragged(floats(int(lengths.sum()), width), lengths)


def _ragged_ids(count: int, longest: int, width: int) -> Ragged:
    lengths = _lengths(count, longest)
    return Ragged(_ids(int(lengths.sum())), lengths)


def _labels(rows: int, *more: int) -> Any:
    return host().random.default_rng(2).integers(0, _CLASSES, rows)


def _total(count: int, longest: int) -> int:
    return int(_lengths(count, longest).sum())


# -- the layers


def _hash_embed(width: int) -> Model:
    return HashEmbed(width, _TABLE_ROWS, seed=_HASH_SEED)


def _of_rows(name: str, build: Callable[..., Model], flops: Callable[..., float]) -> ModelCase:
    return ModelCase("layers", name, "both", _ROWS, build, _rows, flops=flops)


def _of_sequences(name: str, build: Callable[..., Model], flops: Callable[..., float]) -> ModelCase:
    return ModelCase("layers", name, "both", _SEQUENCES, build, _ragged, flops=flops)


def _product(rows: int, nI: int, nO: int) -> float:
    return 2.0 * rows * nI * nO


def _attention_flops(count: int, longest: int, width: int) -> float:
    squares = int((_lengths(count, longest).astype("int64") ** 2).sum())
    return 8.0 * _total(count, longest) * width * width + 4.0 * squares * width


def _encoder_flops(count: int, longest: int, width: int) -> float:
    return _attention_flops(count, longest, width) + 16.0 * _total(count, longest) * width * width


LAYERS = (
    _of_rows("Linear", lambda rows, nI, nO: Linear(nO, nI), _product),
    _of_rows("Relu", lambda rows, nI, nO: Relu(nO, nI), _product),
    _of_rows("Gelu", lambda rows, nI, nO: Gelu(nO, nI), _product),
    _of_rows("Mish", lambda rows, nI, nO: Mish(nO, nI), _product),
    _of_rows(
        "Maxout",
        lambda rows, nI, nO: Maxout(nO // _PIECES, nI, _PIECES, normalize=True),
        _product,
    ),
    _of_rows("Softmax", lambda rows, nI, nO: Softmax(nO, nI), _product),
    ModelCase("layers", "LayerNorm", "both", _WIDE_ROWS, lambda rows, width: LayerNorm(width), _rows),
    ModelCase("layers", "Embed", "both", _WIDE_ROWS, lambda rows, width: Embed(width, _TABLE_ROWS), _ids),
    ModelCase(
        "layers",
        "HashEmbed",
        "both",
        _WIDE_ROWS,
        lambda rows, width: HashEmbed(width, _TABLE_ROWS, seed=_HASH_SEED),
        _ids,
    ),
    _of_sequences("expand_window", lambda *shape: expand_window(1), lambda *shape: 0.0),
    _of_sequences(
        "LSTM",
        lambda count, longest, width: LSTM(width, width, bi=True),
        lambda count, longest, width: 12.0 * _total(count, longest) * width * width,
    ),
    _of_sequences(
        "GRU",
        lambda count, longest, width: GRU(width, width, bi=True),
        lambda count, longest, width: 9.0 * _total(count, longest) * width * width,
    ),
    _of_sequences(
        "MultiHeadAttention",
        lambda count, longest, width: MultiHeadAttention(width, width, heads=_HEADS),
        _attention_flops,
    ),
    _of_sequences(
        "TransformerEncoderLayer",
        lambda count, longest, width: TransformerEncoderLayer(width, heads=_HEADS),
        _encoder_flops,
    ),
)


# -- the models


def _mlp(rows: int, nI: int, width: int) -> Model:
    return chain(Relu(width, nI), Relu(width, width), Softmax(_CLASSES, width))


def _mlp_flops(rows: int, nI: int, width: int) -> float:
    return 2.0 * rows * width * (nI + width + _CLASSES)


def _tagger(rows: int, width: int) -> Model:
    """As in spaCy's small pipelines: hashed words, and blocks that see one more neighbour each."""
    blocks = [
        residual(chain(expand_window(1), Maxout(width, 3 * width, _PIECES, normalize=True))) for _ in range(4)
    ]
    return chain(_hash_embed(width), *blocks, Softmax(_CLASSES, width))


def _tagger_flops(rows: int, width: int) -> float:
    return 2.0 * rows * width * (4 * 3 * _PIECES * width + _CLASSES)


def _transformer(count: int, longest: int, width: int) -> Model:
    """Two layers over embedded words, their mean, a class."""
    return chain(
        with_array(Embed(width, _TABLE_ROWS)),
        TransformerEncoderLayer(width, heads=_HEADS),
        TransformerEncoderLayer(width, heads=_HEADS),
        reduce_mean(),
        Softmax(_CLASSES, width),
    )


_TABLE: dict[str, tuple[Callable[..., Model], Callable[..., Any], Callable[..., float]]] = {
    "mlp": (_mlp, _rows, _mlp_flops),
    "tagger": (_tagger, _ids, _tagger_flops),
    "transformer": (_transformer, _ragged_ids, lambda *shape: 2 * _encoder_flops(*shape)),
}

TRAIN = tuple(
    ModelCase("train", name, "train", _MODELS[name], build, inputs, _labels, flops)
    for name, (build, inputs, flops) in _TABLE.items()
)
PREDICT = tuple(
    ModelCase("predict", name, "predict", _MODELS[name], build, inputs, flops=flops)
    for name, (build, inputs, flops) in _TABLE.items()
)
