"""LSTM and GRU of two layers in two directions: inference, and forward and backward. Thinc's gradients are wrong,
and so only its output is compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.ops.case import Peers
from triops.bench.cases.recurrent import DEPTH, DIRS, GATES, pieces, starts

__all__ = ["RECURRENT"]

_ORDER = {"lstm": [1, 0, 3, 2], "gru": [0, 1, 2]}  # PyTorch's gates in our order


def _thinc(ops: Any, X: Any, sizes: Any, params: Any, H: Any, dY: Any) -> Any:
    Y, state = ops.lstm_forward_training(params, *starts("lstm", H), X, sizes)
    ops.backprop_lstm(dY.copy(), sizes, params, state)
    return Y


def _thinc_inference(ops: Any, X: Any, sizes: Any, params: Any, H: Any, dY: Any) -> Any:
    return ops.lstm_forward_inference(params, *starts("lstm", H), X, sizes)


def _gates_in(kind: str, W: Any, order: Any) -> Any:
    return W.reshape(GATES[kind], -1, *W.shape[1:])[order].reshape(W.shape)


def _torch_forward(kind: str, t: Any, X: Any, sizes: Any, weights: Any, H: Any) -> Any:
    starts = (H, H) if kind == "lstm" else H
    network = getattr(t, kind)
    return network(X, sizes.long(), starts, weights, True, DEPTH, 0.0, True, DIRS == 2)[0]


def _torch_weights(kind: str, X: Any, params: Any, H: Any) -> list[Any]:
    shapes = pieces(kind, X.shape[1], H.shape[2])
    parts = params.split([int(np.prod(shape)) for shape in shapes])
    order = np.argsort(_ORDER[kind]).tolist()
    ours = [_gates_in(kind, part.reshape(shape), order) for part, shape in zip(parts, shapes, strict=True)]
    return _swapped(ours)


def _swapped(weights: list[Any]) -> list[Any]:
    """Wx, Wh, bx, bh for Wx, bx, Wh, bh, and back."""
    return [weights[at + place] for at in range(0, len(weights), 4) for place in (0, 2, 1, 3)]


def _torch(kind: str, t: Any, X: Any, sizes: Any, params: Any, H: Any, dY: Any) -> Any:
    with t.enable_grad():
        leaves = [array.detach().requires_grad_() for array in (X, *_torch_weights(kind, X, params, H))]
        Y = _torch_forward(kind, t, leaves[0], sizes, leaves[1:], H)
        dX, *d_weights = t.autograd.grad(Y, leaves, dY)
    return Y.detach(), dX, t.cat([_gates_in(kind, dW, _ORDER[kind]).reshape(-1) for dW in _swapped(d_weights)])


def _torch_inference(kind: str, t: Any, X: Any, sizes: Any, params: Any, H: Any, dY: Any) -> Any:
    return _torch_forward(kind, t, X, sizes, _torch_weights(kind, X, params, H), H)


def _jax_forward(kind: str, j: Any, X: Any, params: Any, sizes: Any, H: Any) -> Any:
    """A scan over the padded steps, as one writes it."""
    np_, (_, count, nO) = j.numpy, H.shape
    ends = np_.cumsum(sizes)
    there = np_.arange(count) < sizes[:, None]
    spread = np_.clip((ends - sizes)[:, None] + np_.arange(count), 0, len(X) - 1)
    step_of = np_.searchsorted(ends, np_.arange(len(X)), side="right")
    packed = step_of * count + np_.arange(len(X)) - (ends - sizes)[step_of]
    shapes, at = iter(pieces(kind, X.shape[1], nO)), 0

    def cell(before: Any, xs: Any, Wh: Any, bh: Any) -> Any:
        a, here = xs
        u = (before[0] @ Wh.T + bh).reshape(a.shape)
        if kind == "lstm":
            f, i, o = (j.nn.sigmoid(a[:, k] + u[:, k]) for k in range(3))
            c = f * before[1] + i * np_.tanh(a[:, 3] + u[:, 3])
            after = (o * np_.tanh(c), c)
        else:
            r, z = (j.nn.sigmoid(a[:, k] + u[:, k]) for k in range(2))
            after = ((1 - z) * np_.tanh(a[:, 2] + r * u[:, 2]) + z * before[0],)
        after = tuple(np_.where(here[:, None], new, old) for new, old in zip(after, before, strict=True))
        return after, after[0]

    for i in range(DEPTH):
        outputs = []
        for d in range(DIRS):
            weights = []
            for _ in range(4):
                shape = next(shapes)
                size = int(np.prod(shape))
                weights.append(params[at : at + size].reshape(shape))
                at += size
            Wx, bx, Wh, bh = weights
            steps = (X @ Wx.T + bx).reshape(len(X), GATES[kind], nO)[spread]
            start = (H[DIRS * i + d],) * (2 if kind == "lstm" else 1)
            step = lambda before, xs, Wh=Wh, bh=bh: cell(before, xs, Wh, bh)  # noqa: E731
            Y = j.lax.scan(step, start, (steps, there), reverse=d == 1)[1]
            outputs.append(Y.reshape(-1, nO)[packed])
        X = np_.concatenate(outputs, axis=1)
    return X


def _jax(kind: str, j: Any, X: Any, sizes: Any, params: Any, H: Any, dY: Any) -> Any:
    Y, backward = j.vjp(lambda X, params: _jax_forward(kind, j, X, params, sizes, H), X, params)
    return Y, *backward(dY)


def _peers(kind: str) -> dict[str, Peers]:
    return {
        f"{kind}_inference": Peers(
            thinc=_thinc_inference if kind == "lstm" else None,
            torch=lambda *args: _torch_inference(kind, *args),
            jax=lambda j, X, sizes, params, H, dY: _jax_forward(kind, j, X, params, sizes, H),
        ),
        f"{kind}_forward_backward": Peers(
            thinc=_thinc if kind == "lstm" else None,
            torch=lambda *args: _torch(kind, *args),
            jax=lambda *args: _jax(kind, *args),
        ),
    }


RECURRENT: dict[str, Peers] = {**_peers("lstm"), **_peers("gru")}
