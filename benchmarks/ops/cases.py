"""What the peers call for each op of `triops.bench.cases`. PyTorch's gradients are the functions that autograd
runs; Thinc's are its own, or, where the work is done by a layer, that layer's lines."""

from __future__ import annotations

from typing import Any

from benchmarks.ops.activations import ACTIVATIONS
from benchmarks.ops.attention import ATTENTION
from benchmarks.ops.case import Case, Peers
from benchmarks.ops.recurrent import RECURRENT
from triops.bench.cases import OP_CASES
from triops.bench.cases.others import ADAM, DROP, EPS, TABLE_ROWS, THRESHOLD

__all__ = ["CASES"]

_RATE, _BETA1, _BETA2, _EPS, _STEP = (ADAM[name] for name in ("learn_rate", "beta1", "beta2", "eps", "step"))

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
    rstd = j.lax.rsqrt(X.var(axis=-1, keepdims=True) + EPS)
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
    table = ops.alloc2f(TABLE_ROWS, dY.shape[1])
    ops.scatter_add(table, ids, dY)
    return table


def _jax_maxout(j: Any, X: Any) -> Any:
    best, which = X[..., 0], j.numpy.zeros(X.shape[:-1], "int32")
    for p in range(1, X.shape[-1]):  # much faster than max and argmax
        better = X[..., p] > best
        best, which = j.numpy.where(better, X[..., p], best), j.numpy.where(better, p, which)
    return best, which


def _thinc_adam(ops: Any, W: Any, dW: Any, m: Any, v: Any) -> Any:
    rate = _RATE * (1 - _BETA2**_STEP) ** 0.5 / (1 - _BETA1**_STEP)
    W, _, m, v = ops.adam(
        W.reshape(-1), dW.reshape(-1), m.reshape(-1), v.reshape(-1), _BETA1, _BETA2, _EPS, rate, 1.0
    )
    return W, m, v


def _torch_adam(t: Any, W: Any, dW: Any, m: Any, v: Any) -> Any:
    """What `torch.optim.Adam(fused=True)` runs, PyTorch's fastest."""
    settings = {"lr": _RATE, "beta1": _BETA1, "beta2": _BETA2, "weight_decay": 0.0, "eps": _EPS}
    t._fused_adam_([W], [dW], [m], [v], [], [t.tensor(float(_STEP))], **settings, amsgrad=False, maximize=False)
    return W, m, v


def _jax_adam(j: Any, W: Any, dW: Any, m: Any, v: Any) -> Any:
    m, v = _BETA1 * m + (1 - _BETA1) * dW, _BETA2 * v + (1 - _BETA2) * dW * dW
    step = (m / (1 - _BETA1**_STEP)) / (j.numpy.sqrt(v / (1 - _BETA2**_STEP)) + _EPS)
    return W - _RATE * step, m, v


def _thinc_sgd(ops: Any, W: Any, dW: Any) -> Any:
    W -= _RATE * dW
    return W


def _torch_clip(t: Any, dW: Any) -> Any:
    dW.mul_((THRESHOLD / (t.linalg.vector_norm(dW) + 1e-6)).clamp_(max=1.0))
    return dW


def _jax_clip(j: Any, dW: Any) -> Any:
    return dW * j.numpy.minimum(1.0, THRESHOLD / j.numpy.sqrt((dW * dW).sum()))


# -- the table

_PEERS: dict[str, Peers] = {
    **ACTIVATIONS,
    **ATTENTION,
    **RECURRENT,
    "gemm": Peers(
        thinc=lambda ops, X, Y: ops.gemm(X, Y),
        torch=lambda t, X, Y: t.mm(X, Y),
        jax=lambda j, X, Y: X @ Y,
    ),
    "gemm_trans1": Peers(
        thinc=lambda ops, X, Y: ops.gemm(X, Y, trans1=True),
        torch=lambda t, X, Y: t.mm(X.t(), Y),
        jax=lambda j, X, Y: X.T @ Y,
    ),
    "affine": Peers(
        thinc=lambda ops, X, W, b: ops.affine(X, W, b),
        torch=lambda t, X, W, b: t.nn.functional.linear(X, W, b),
        jax=lambda j, X, W, b: X @ W.T + b,
    ),
    "softmax": Peers(
        thinc=lambda ops, X: ops.softmax(X),
        torch=lambda t, X: t.softmax(X, -1),
        jax=lambda j, X: j.nn.softmax(X),
    ),
    "backprop_softmax": Peers(
        thinc=lambda ops, dY, Y: ops.backprop_softmax(Y, dY),
        torch=lambda t, dY, Y: t._softmax_backward_data(dY, Y, -1, Y.dtype),
        jax=lambda j, dY, Y: Y * (dY - (Y * dY).sum(-1, keepdims=True)),
    ),
    "log_softmax": Peers(
        torch=lambda t, X: t.log_softmax(X, -1),
        jax=lambda j, X: j.nn.log_softmax(X),
    ),
    "backprop_log_softmax": Peers(
        torch=lambda t, dY, Y: t._log_softmax_backward_data(dY, Y, -1, Y.dtype),
        jax=lambda j, dY, Y: dY - j.numpy.exp(Y) * dY.sum(-1, keepdims=True),
    ),
    "cross_entropy": Peers(
        # A user of Thinc ends the model with a softmax, and the loss has the gradient alone.
        thinc=lambda ops, X, T: ops.softmax(X) - T,
        torch=_torch_cross_entropy,
        jax=_jax_cross_entropy,
    ),
    "layer_norm": Peers(
        thinc=_thinc_layer_norm,
        torch=lambda t, X, G, b: t.native_layer_norm(X, [X.shape[-1]], G, b, EPS),
        jax=_jax_layer_norm,
    ),
    "backprop_layer_norm": Peers(
        thinc=_thinc_backprop_layer_norm,
        torch=lambda t, dY, X, mu, rstd, G: t.ops.aten.native_layer_norm_backward(
            dY, X, [X.shape[-1]], mu, rstd, G, G, [True, True, True]
        ),
        jax=_jax_backprop_layer_norm,
    ),
    "maxout": Peers(
        thinc=lambda ops, X: ops.maxout(X),
        torch=lambda t, X: t.max(X, dim=-1),
        jax=_jax_maxout,
    ),
    "backprop_maxout": Peers(
        thinc=lambda ops, dY, which: ops.backprop_maxout(dY, which, 3),
        torch=lambda t, dY, which: t.ops.aten.value_selecting_reduction_backward(
            dY, -1, which.long(), [*dY.shape, 3], False
        ),
        jax=lambda j, dY, which: j.numpy.where(which[..., None] == j.numpy.arange(3), dY[..., None], 0),
    ),
    "gather": Peers(
        thinc=lambda ops, E, ids: E[ids],
        torch=lambda t, E, ids: t.nn.functional.embedding(ids, E),
        jax=lambda j, E, ids: E[ids],
    ),
    "scatter_add": Peers(
        thinc=_thinc_scatter_add,
        torch=lambda t, ids, dY: t.ops.aten.embedding_dense_backward(dY, ids, TABLE_ROWS, -1, False),
        jax=lambda j, ids, dY: j.numpy.zeros((TABLE_ROWS, dY.shape[1]), dY.dtype).at[ids].add(dY),
    ),
    "dropout_mask": Peers(
        thinc=lambda ops, X, seed: ops.get_dropout_mask(X.shape, DROP),
        torch=lambda t, X, seed: t.empty_like(X).bernoulli_(1 - DROP).div_(1 - DROP),
        jax=lambda j, X, seed: j.random.bernoulli(j.random.key(seed), 1 - DROP, X.shape) / (1 - DROP),
    ),
    "sgd": Peers(
        thinc=_thinc_sgd,
        torch=lambda t, W, dW: W.add_(dW, alpha=-_RATE),
        jax=lambda j, W, dW: W - _RATE * dW,
    ),
    "adam": Peers(
        thinc=_thinc_adam,
        torch=_torch_adam,
        jax=_jax_adam,
    ),
    "clip_gradient": Peers(
        thinc=lambda ops, dW: ops.clip_gradient(dW, THRESHOLD),
        torch=_torch_clip,
        jax=_jax_clip,
    ),
}

CASES: tuple[Case, ...] = tuple(Case(op, _PEERS[op.name]) for op in OP_CASES)
