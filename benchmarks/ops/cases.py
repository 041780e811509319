"""The table of cases, one for each op that is measured. PyTorch's gradients are the functions that autograd
runs; Thinc's are its own, or, where the work is done by a layer, that layer's lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.ops.activations import ACTIVATIONS, ELEMENTWISE
from benchmarks.ops.attention import ATTENTION
from benchmarks.ops.case import Case, floats
from benchmarks.ops.recurrent import RECURRENT

__all__ = ["CASES"]

_ITEM = 4  # bytes of a float32 or int32
_DROP = 0.2
_RATE, _BETA1, _BETA2, _EPS = 0.001, 0.9, 0.999, 1e-8
_THRESHOLD = 1.0  # every gradient here is longer, and so is clipped
_TABLE_ROWS = 5000

_PIECES = {"small": [(20, 96, 3)], "typical": [(4000, 96, 3)], "large": [(32000, 96, 3)]}
_ROWS_OF_TABLE = {"small": [(20, 96)], "typical": [(4000, 96)], "large": [(32000, 96)]}
_WEIGHTS = {"small": [(96, 20)], "typical": [(1024, 288)], "large": [(5000, 1024)]}


# -- inputs


def _floats(*shape: int) -> list[Any]:
    return [floats(*shape)]


def _two(*shape: int) -> list[Any]:
    return [floats(*shape), floats(*shape, seed=1)]


def _rows_softmaxed(*shape: int) -> list[Any]:
    exps = np.exp(floats(*shape))
    return [floats(*shape, seed=1), exps / exps.sum(axis=-1, keepdims=True)]


def _rows_log_softmaxed(*shape: int) -> list[Any]:
    dY, Y = _rows_softmaxed(*shape)
    return [dY, np.log(Y)]


def _labelled(rows: int, classes: int) -> list[Any]:
    labels = np.random.default_rng(1).integers(0, classes, rows)
    return [floats(rows, classes), np.eye(classes, dtype="float32")[labels]]


def _normed(*shape: int) -> list[Any]:
    dY, X = _two(*shape)
    mu = X.mean(axis=-1, keepdims=True)
    return [dY, X, mu, 1 / np.sqrt(X.var(axis=-1, keepdims=True) + np.float32(_EPS)), floats(shape[-1], seed=2)]


def _chosen(rows: int, width: int, pieces: int) -> list[Any]:
    which = np.random.default_rng(1).integers(0, pieces, (rows, width), dtype="int32")
    return [floats(rows, width), which]


def _ids(rows: int) -> Any:
    return np.random.default_rng(1).integers(0, _TABLE_ROWS, rows, dtype="int32")


def _weights(*shape: int) -> list[Any]:
    return [floats(*shape), floats(*shape, seed=1), 0.1 * floats(*shape, seed=2), floats(*shape, seed=3) ** 2]


# -- what takes more than a line


def _thinc_layer_norm(ops: Any, X: Any, G: Any, b: Any) -> Any:
    mu = X.mean(axis=1, keepdims=True)
    variance = X.var(axis=1, keepdims=True) + 1e-08
    Y = (X - mu) * variance ** (-0.5)
    Y = Y * G
    Y += b
    return Y


def _thinc_backprop_layer_norm(ops: Any, dY: Any, X: Any, mu: Any, rstd: Any, G: Any) -> Any:
    dist = X - mu
    dG, db = (dY * (dist * rstd)).sum(axis=0), dY.sum(axis=0)
    dY = dY * G
    # The layer keeps the variance, and takes its powers again.
    variance = rstd**-2
    dX = X.shape[1] * dY - dY.sum(axis=1, keepdims=True)
    dX -= dist * variance**-1.0 * (dY * dist).sum(axis=1, keepdims=True)
    dX *= variance ** (-1.0 / 2)
    dX /= X.shape[1]
    return dX, dG, db


def _jax_layer_norm(j: Any, X: Any, G: Any, b: Any) -> Any:
    mu = X.mean(axis=-1, keepdims=True)
    rstd = j.lax.rsqrt(X.var(axis=-1, keepdims=True) + _EPS)
    return (X - mu) * rstd * G + b, mu, rstd


def _jax_backprop_layer_norm(j: Any, dY: Any, X: Any, mu: Any, rstd: Any, G: Any) -> Any:
    Xhat, g = (X - mu) * rstd, dY * G
    dX = rstd * (g - g.mean(axis=-1, keepdims=True) - Xhat * (g * Xhat).mean(axis=-1, keepdims=True))
    return dX, (dY * Xhat).sum(axis=0), dY.sum(axis=0)


def _torch_cross_entropy(t: Any, X: Any, T: Any) -> Any:
    logs = t.log_softmax(X, -1)
    return t._log_softmax_backward_data(-T, logs, -1, X.dtype), -(T * logs).sum(-1)


def _jax_cross_entropy(j: Any, X: Any, T: Any) -> Any:
    logs = j.nn.log_softmax(X)
    return j.numpy.exp(logs) * T.sum(-1, keepdims=True) - T, -(T * logs).sum(-1)


def _thinc_scatter_add(ops: Any, ids: Any, dY: Any) -> Any:
    table = ops.alloc2f(_TABLE_ROWS, dY.shape[1])
    ops.scatter_add(table, ids, dY)
    return table


def _jax_maxout(j: Any, X: Any) -> Any:
    best, which = X[..., 0], j.numpy.zeros(X.shape[:-1], "int32")
    for p in range(1, X.shape[-1]):  # much faster than max and argmax
        better = X[..., p] > best
        best, which = j.numpy.where(better, X[..., p], best), j.numpy.where(better, p, which)
    return best, which


def _thinc_adam(ops: Any, W: Any, dW: Any, m: Any, v: Any) -> Any:
    rate = _RATE * (1 - _BETA2**10) ** 0.5 / (1 - _BETA1**10)
    W, _, m, v = ops.adam(
        W.reshape(-1), dW.reshape(-1), m.reshape(-1), v.reshape(-1), _BETA1, _BETA2, _EPS, rate, 1.0
    )
    return W, m, v


def _torch_adam(t: Any, W: Any, dW: Any, m: Any, v: Any) -> Any:
    """What `torch.optim.Adam(fused=True)` runs, PyTorch's fastest."""
    settings = {"lr": _RATE, "beta1": _BETA1, "beta2": _BETA2, "weight_decay": 0.0, "eps": _EPS}
    t._fused_adam_([W], [dW], [m], [v], [], [t.tensor(10.0)], **settings, amsgrad=False, maximize=False)
    return W, m, v


def _jax_adam(j: Any, W: Any, dW: Any, m: Any, v: Any) -> Any:
    m, v = _BETA1 * m + (1 - _BETA1) * dW, _BETA2 * v + (1 - _BETA2) * dW * dW
    step = (m / (1 - _BETA1**10)) / (j.numpy.sqrt(v / (1 - _BETA2**10)) + _EPS)
    return W - _RATE * step, m, v


def _thinc_sgd(ops: Any, W: Any, dW: Any) -> Any:
    W -= _RATE * dW
    return W


def _torch_clip(t: Any, dW: Any) -> Any:
    dW.mul_((_THRESHOLD / (t.linalg.vector_norm(dW) + 1e-6)).clamp_(max=1.0))
    return dW


def _jax_clip(j: Any, dW: Any) -> Any:
    return dW * j.numpy.minimum(1.0, _THRESHOLD / j.numpy.sqrt((dW * dW).sum()))


def _compare_masks(results: Sequence[Any], references: Sequence[Any]) -> float:
    """How far the mean of a mask is from 1: no two peers draw the same one."""
    mask = results[0]
    kept = mask > 0
    if not np.allclose(mask[kept], 1 / (1 - _DROP)) or (mask < 0).any():
        return float("inf")
    return abs(float(mask.mean()) - 1.0)


# -- the table

_LINEAR = (
    Case(
        "gemm",
        {
            "small": [(20, 96, 96), (100, 96, 288)],
            "typical": [(1000, 96, 288), (4000, 288, 288)],
            "large": [(1024, 1024, 1024), (2048, 2048, 2048)],
        },
        lambda m, k, n: [floats(m, k), floats(k, n, seed=1)],
        triops=lambda ops, X, Y: ops.gemm(X, Y),
        thinc=lambda ops, X, Y: ops.gemm(X, Y),
        torch=lambda t, X, Y: t.mm(X, Y),
        jax=lambda j, X, Y: X @ Y,
        flops=lambda m, k, n: 2 * m * k * n,
    ),
    Case(
        "gemm_trans1",  # the gradient of weights
        {"small": [(96, 20, 96)], "typical": [(288, 4000, 288)], "large": [(288, 32000, 288)]},
        lambda m, k, n: [floats(k, m), floats(k, n, seed=1)],
        triops=lambda ops, X, Y: ops.gemm(X, Y, trans1=True),
        thinc=lambda ops, X, Y: ops.gemm(X, Y, trans1=True),
        torch=lambda t, X, Y: t.mm(X.t(), Y),
        jax=lambda j, X, Y: X.T @ Y,
        flops=lambda m, k, n: 2 * m * k * n,
    ),
    Case(
        "affine",
        {"small": [(20, 96, 96)], "typical": [(4000, 288, 288)], "large": [(32000, 288, 288)]},
        lambda n, nI, nO: [floats(n, nI), floats(nO, nI, seed=1), floats(nO, seed=2)],
        triops=lambda ops, X, W, b: ops.affine(X, W, b),
        thinc=lambda ops, X, W, b: ops.affine(X, W, b),
        torch=lambda t, X, W, b: t.nn.functional.linear(X, W, b),
        jax=lambda j, X, W, b: X @ W.T + b,
        flops=lambda n, nI, nO: 2 * n * nI * nO,
    ),
)

_BY_ROWS = (
    Case(
        "softmax",
        ELEMENTWISE,
        _floats,
        triops=lambda ops, X: ops.softmax(X),
        thinc=lambda ops, X: ops.softmax(X),
        torch=lambda t, X: t.softmax(X, -1),
        jax=lambda j, X: j.nn.softmax(X),
        flops=lambda n, width: 21 * n * width,
    ),
    Case(
        "backprop_softmax",
        ELEMENTWISE,
        _rows_softmaxed,
        triops=lambda ops, dY, Y: ops.backprop_softmax(Y, dY),
        thinc=lambda ops, dY, Y: ops.backprop_softmax(Y, dY),
        torch=lambda t, dY, Y: t._softmax_backward_data(dY, Y, -1, Y.dtype),
        jax=lambda j, dY, Y: Y * (dY - (Y * dY).sum(-1, keepdims=True)),
        flops=lambda n, width: 4 * n * width,
    ),
    Case(
        "log_softmax",
        ELEMENTWISE,
        _floats,
        triops=lambda ops, X: ops.log_softmax(X),
        torch=lambda t, X: t.log_softmax(X, -1),
        jax=lambda j, X: j.nn.log_softmax(X),
        flops=lambda n, width: 21 * n * width,
    ),
    Case(
        "backprop_log_softmax",
        ELEMENTWISE,
        _rows_log_softmaxed,
        triops=lambda ops, dY, Y: ops.backprop_log_softmax(dY, Y),
        torch=lambda t, dY, Y: t._log_softmax_backward_data(dY, Y, -1, Y.dtype),
        jax=lambda j, dY, Y: dY - j.numpy.exp(Y) * dY.sum(-1, keepdims=True),
        flops=lambda n, width: 19 * n * width,
    ),
    Case(
        "cross_entropy",
        {"small": [(20, 17)], "typical": [(4000, 50)], "large": [(32000, 288)]},
        _labelled,
        triops=lambda ops, X, T: ops.cross_entropy(X, T)[::-1],
        # A user of Thinc ends the model with a softmax, and the loss has the gradient alone.
        thinc=lambda ops, X, T: ops.softmax(X) - T,
        torch=_torch_cross_entropy,
        jax=_jax_cross_entropy,
        flops=lambda n, width: 24 * n * width,
    ),
    Case(
        "layer_norm",
        ELEMENTWISE,
        lambda n, width: [floats(n, width), floats(width, seed=1), floats(width, seed=2)],
        triops=lambda ops, X, G, b: ops.layer_norm(X, G, b),
        thinc=_thinc_layer_norm,
        torch=lambda t, X, G, b: t.native_layer_norm(X, [X.shape[-1]], G, b, _EPS),
        jax=_jax_layer_norm,
        flops=lambda n, width: 8 * n * width,
    ),
    Case(
        "backprop_layer_norm",
        ELEMENTWISE,
        _normed,
        triops=lambda ops, *arrays: ops.backprop_layer_norm(*arrays),
        thinc=_thinc_backprop_layer_norm,
        torch=lambda t, dY, X, mu, rstd, G: t.ops.aten.native_layer_norm_backward(
            dY, X, [X.shape[-1]], mu, rstd, G, G, [True, True, True]
        ),
        jax=_jax_backprop_layer_norm,
        flops=lambda n, width: 14 * n * width,
    ),
)

_OTHERS = (
    Case(
        "maxout",
        _PIECES,
        _floats,
        triops=lambda ops, X: ops.maxout(X),
        thinc=lambda ops, X: ops.maxout(X),
        torch=lambda t, X: t.max(X, dim=-1),
        jax=_jax_maxout,
        flops=lambda n, width, pieces: n * width * pieces,
    ),
    Case(
        "backprop_maxout",
        _PIECES,
        _chosen,
        triops=lambda ops, dY, which: ops.backprop_maxout(dY, which, 3),
        thinc=lambda ops, dY, which: ops.backprop_maxout(dY, which, 3),
        torch=lambda t, dY, which: t.ops.aten.value_selecting_reduction_backward(
            dY, -1, which.long(), [*dY.shape, 3], False
        ),
        jax=lambda j, dY, which: j.numpy.where(which[..., None] == j.numpy.arange(3), dY[..., None], 0),
    ),
    Case(
        "gather",
        _ROWS_OF_TABLE,
        lambda n, width: [floats(_TABLE_ROWS, width), _ids(n)],
        triops=lambda ops, E, ids: ops.gather(E, ids),
        thinc=lambda ops, E, ids: E[ids],
        torch=lambda t, E, ids: t.nn.functional.embedding(ids, E),
        jax=lambda j, E, ids: E[ids],
        moved=lambda n, width: _ITEM * n * (2 * width + 1),
    ),
    Case(
        "scatter_add",  # the gradient of Embed, from a table of zeros
        _ROWS_OF_TABLE,
        lambda n, width: [_ids(n), floats(n, width)],
        triops=lambda ops, ids, dY: ops.scatter_add(ops.alloc((_TABLE_ROWS, dY.shape[1]), dY.dtype), ids, dY),
        thinc=_thinc_scatter_add,
        torch=lambda t, ids, dY: t.ops.aten.embedding_dense_backward(dY, ids, _TABLE_ROWS, -1, False),
        jax=lambda j, ids, dY: j.numpy.zeros((_TABLE_ROWS, dY.shape[1]), dY.dtype).at[ids].add(dY),
        flops=lambda n, width: n * width,
    ),
    Case(
        "dropout_mask",
        ELEMENTWISE,
        lambda *shape: [floats(*shape), np.asarray(7, "uint32")],
        triops=lambda ops, X, seed: ops.dropout_mask(7, 1, X.shape, _DROP),
        thinc=lambda ops, X, seed: ops.get_dropout_mask(X.shape, _DROP),
        torch=lambda t, X, seed: t.empty_like(X).bernoulli_(1 - _DROP).div_(1 - _DROP),
        jax=lambda j, X, seed: j.random.bernoulli(j.random.key(seed), 1 - _DROP, X.shape) / (1 - _DROP),
        reads=(),
        tolerance=0.06,  # five standard deviations of the smallest mask's mean
        compare=_compare_masks,
    ),
    Case(
        "sgd",
        _WEIGHTS,
        _two,
        triops=lambda ops, W, dW: ops.sgd(W, dW, _RATE),
        thinc=_thinc_sgd,
        torch=lambda t, W, dW: W.add_(dW, alpha=-_RATE),
        jax=lambda j, W, dW: W - _RATE * dW,
        flops=lambda *shape: 2 * shape[0] * shape[1],
        consumes=True,
    ),
    Case(
        "adam",
        _WEIGHTS,
        _weights,
        triops=lambda ops, W, dW, m, v: ops.adam(W, dW, m, v, _BETA1, _BETA2, _EPS, _RATE, 10),
        thinc=_thinc_adam,
        torch=_torch_adam,
        jax=_jax_adam,
        flops=lambda *shape: 14 * shape[0] * shape[1],
        consumes=True,
    ),
    Case(
        "clip_gradient",
        _WEIGHTS,
        _floats,
        triops=lambda ops, dW: ops.clip_gradient(dW, _THRESHOLD),
        thinc=lambda ops, dW: ops.clip_gradient(dW, _THRESHOLD),
        torch=_torch_clip,
        jax=_jax_clip,
        flops=lambda *shape: 3 * shape[0] * shape[1],
        consumes=True,
    ),
)

CASES: tuple[Case, ...] = (*_LINEAR, *ACTIVATIONS, *_BY_ROWS, *ATTENTION, *_OTHERS, *RECURRENT)
