"""Matrix products, ops over rows, pieces, tables, masks and optimizer steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triops.bench.cases.activations import ELEMENTWISE
from triops.bench.cases.arrays import ITEM, floats, host
from triops.bench.cases.op import OpCase

__all__ = ["ADAM", "DROP", "EPS", "LINEAR", "OTHERS", "ROWS", "TABLE_ROWS", "THRESHOLD"]

DROP = 0.2
EPS = 1e-8  # of layer normalisation
ADAM = {"learn_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "step": 10}
THRESHOLD = 1.0  # every gradient here is longer, and so is clipped
TABLE_ROWS = 5000

_PIECES = {"small": [(20, 96, 3)], "typical": [(4000, 96, 3)], "large": [(32000, 96, 3)]}
_ROWS_OF_TABLE = {"small": [(20, 96)], "typical": [(4000, 96)], "large": [(32000, 96)]}
_WEIGHTS = {"small": [(96, 20)], "typical": [(1024, 288)], "large": [(5000, 1024)]}


def _floats(*shape: int) -> list[Any]:
    return [floats(*shape)]


def _two(*shape: int) -> list[Any]:
    return [floats(*shape), floats(*shape, seed=1)]


def _rows_softmaxed(*shape: int) -> list[Any]:
    exps = host().exp(floats(*shape))
    return [floats(*shape, seed=1), exps / exps.sum(axis=-1, keepdims=True)]


def _rows_log_softmaxed(*shape: int) -> list[Any]:
    dY, Y = _rows_softmaxed(*shape)
    return [dY, host().log(Y)]


def _labelled(rows: int, classes: int) -> list[Any]:
    labels = host().random.default_rng(1).integers(0, classes, rows)
    return [floats(rows, classes), host().eye(classes, dtype="float32")[labels]]


def _normed(*shape: int) -> list[Any]:
    dY, X = _two(*shape)
    mu = X.mean(axis=-1, keepdims=True)
    rstd = 1 / host().sqrt(X.var(axis=-1, keepdims=True) + host().float32(EPS))
    return [dY, X, mu, rstd, floats(shape[-1], seed=2)]


def _chosen(rows: int, width: int, pieces: int) -> list[Any]:
    which = host().random.default_rng(1).integers(0, pieces, (rows, width), dtype="int32")
    return [floats(rows, width), which]


def _ids(rows: int) -> Any:
    return host().random.default_rng(1).integers(0, TABLE_ROWS, rows, dtype="int32")


def _weights(*shape: int) -> list[Any]:
    return [floats(*shape), floats(*shape, seed=1), floats(*shape, seed=2) / 10, floats(*shape, seed=3) ** 2]


def _adam(ops: Any, W: Any, dW: Any, m: Any, v: Any) -> Any:
    return ops.adam(W, dW, m, v, ADAM["beta1"], ADAM["beta2"], ADAM["eps"], ADAM["learn_rate"], ADAM["step"])


def _compare_masks(results: Sequence[Any], references: Sequence[Any]) -> float:
    """How far the mean of a mask is from 1: no two libraries draw the same one."""
    mask = results[0]
    kept = mask > 0
    if not host().allclose(mask[kept], 1 / (1 - DROP), rtol=1e-2) or (mask < 0).any():
        return float("inf")
    return abs(float(mask.mean()) - 1.0)


LINEAR = (
    OpCase(
        "gemm",
        {
            "small": [(20, 96, 96), (100, 96, 288)],
            "typical": [(1000, 96, 288), (4000, 288, 288)],
            "large": [(1024, 1024, 1024), (2048, 2048, 2048)],
        },
        lambda m, k, n: [floats(m, k), floats(k, n, seed=1)],
        lambda ops, X, Y: ops.gemm(X, Y),
        flops=lambda m, k, n: 2 * m * k * n,
    ),
    OpCase(
        "gemm_trans1",  # the gradient of weights
        {"small": [(96, 20, 96)], "typical": [(288, 4000, 288)], "large": [(288, 32000, 288)]},
        lambda m, k, n: [floats(k, m), floats(k, n, seed=1)],
        lambda ops, X, Y: ops.gemm(X, Y, trans1=True),
        flops=lambda m, k, n: 2 * m * k * n,
    ),
    OpCase(
        "affine",
        {"small": [(20, 96, 96)], "typical": [(4000, 288, 288)], "large": [(32000, 288, 288)]},
        lambda n, nI, nO: [floats(n, nI), floats(nO, nI, seed=1), floats(nO, seed=2)],
        lambda ops, X, W, b: ops.affine(X, W, b),
        flops=lambda n, nI, nO: 2 * n * nI * nO,
    ),
)

ROWS = (
    OpCase(
        "softmax",
        ELEMENTWISE,
        _floats,
        lambda ops, X: ops.softmax(X),
        flops=lambda n, width: 21 * n * width,
    ),
    OpCase(
        "backprop_softmax",
        ELEMENTWISE,
        _rows_softmaxed,
        lambda ops, dY, Y: ops.backprop_softmax(Y, dY),
        flops=lambda n, width: 4 * n * width,
    ),
    OpCase(
        "log_softmax",
        ELEMENTWISE,
        _floats,
        lambda ops, X: ops.log_softmax(X),
        flops=lambda n, width: 21 * n * width,
    ),
    OpCase(
        "backprop_log_softmax",
        ELEMENTWISE,
        _rows_log_softmaxed,
        lambda ops, dY, Y: ops.backprop_log_softmax(dY, Y),
        flops=lambda n, width: 19 * n * width,
    ),
    OpCase(
        "cross_entropy",
        {"small": [(20, 17)], "typical": [(4000, 50)], "large": [(32000, 288)]},
        _labelled,
        lambda ops, X, T: ops.cross_entropy(X, T)[::-1],
        flops=lambda n, width: 24 * n * width,
    ),
    OpCase(
        "layer_norm",
        ELEMENTWISE,
        lambda n, width: [floats(n, width), floats(width, seed=1), floats(width, seed=2)],
        lambda ops, X, G, b: ops.layer_norm(X, G, b),
        flops=lambda n, width: 8 * n * width,
    ),
    OpCase(
        "backprop_layer_norm",
        ELEMENTWISE,
        _normed,
        lambda ops, *arrays: ops.backprop_layer_norm(*arrays),
        flops=lambda n, width: 14 * n * width,
    ),
)

OTHERS = (
    OpCase(
        "maxout",
        _PIECES,
        _floats,
        lambda ops, X: ops.maxout(X),
        flops=lambda n, width, pieces: n * width * pieces,
    ),
    OpCase(
        "backprop_maxout",
        _PIECES,
        _chosen,
        lambda ops, dY, which: ops.backprop_maxout(dY, which, 3),
    ),
    OpCase(
        "gather",
        _ROWS_OF_TABLE,
        lambda n, width: [floats(TABLE_ROWS, width), _ids(n)],
        lambda ops, E, ids: ops.gather(E, ids),
        moved=lambda n, width: ITEM * n * (2 * width + 1),
    ),
    OpCase(
        "scatter_add",  # the gradient of Embed, from a table of zeros
        _ROWS_OF_TABLE,
        lambda n, width: [_ids(n), floats(n, width)],
        lambda ops, ids, dY: ops.scatter_add(ops.alloc((TABLE_ROWS, dY.shape[1]), dY.dtype), ids, dY),
        flops=lambda n, width: n * width,
    ),
    OpCase(
        "dropout_mask",
        ELEMENTWISE,
        lambda *shape: [floats(*shape), host().asarray(7, "uint32")],
        lambda ops, X, seed: ops.dropout_mask(7, 1, X.shape, DROP, X.dtype),
        reads=(),
        tolerance=0.06,  # five standard deviations of the smallest mask's mean
        compare=_compare_masks,
    ),
    OpCase(
        "sgd",
        _WEIGHTS,
        _two,
        lambda ops, W, dW: ops.sgd(W, dW, ADAM["learn_rate"]),
        flops=lambda *shape: 2 * shape[0] * shape[1],
        consumes=True,
        carries=(0,),
        version=2,
    ),
    OpCase(
        "adam",
        _WEIGHTS,
        _weights,
        _adam,
        flops=lambda *shape: 14 * shape[0] * shape[1],
        consumes=True,
        carries=(0, 2, 3),
        version=2,
    ),
    OpCase(
        "clip_gradient",
        _WEIGHTS,
        _floats,
        lambda ops, dW: ops.clip_gradient(dW, THRESHOLD),
        flops=lambda *shape: 3 * shape[0] * shape[1],
        consumes=True,
    ),
)
