"""Recurrent networks over rows that are packed by step.

The scan is the backend's own: `scan(step, carry, xs, sizes, backwards)` calls `carry, ys = step(carry, xs)` with
the rows of each step, and returns the last carry and the ys as the rows lie. It does what depends on the step
before, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from triops.ops.formulas.activations import sigmoid
from triops.ops.formulas.registry import formula
from triops.ops.formulas.segments import sum_type

Scan = Callable[..., Any]


@formula
def lstm_forward_training(
    xp: Any, params: Any, H0: Any, C0: Any, X: Any, size_at_t: Any, *, sequences: int, scan: Scan
) -> tuple[Any, tuple[Any, ...]]:
    saved = _forward(xp, _LSTM, params, (H0, C0), X, size_at_t, sequences, scan)
    return _top(saved[0]), (*saved, X, H0, C0)


@formula
def lstm_forward_inference(
    xp: Any, params: Any, H0: Any, C0: Any, X: Any, size_at_t: Any, *, sequences: int, scan: Scan
) -> Any:
    return _top(_forward(xp, _LSTM, params, (H0, C0), X, size_at_t, sequences, scan)[0])


@formula
def backprop_lstm(
    xp: Any, dY: Any, size_at_t: Any, params: Any, fwd_state: tuple[Any, ...], *, sequences: int, scan: Scan
) -> tuple[Any, ...]:
    Y, G, C, X, H0, C0 = fwd_state
    return _backward(xp, _LSTM, dY, size_at_t, params, (Y, G, C), X, (H0, C0), sequences, scan)


@formula
def gru_forward_training(
    xp: Any, params: Any, H0: Any, X: Any, size_at_t: Any, *, sequences: int, scan: Scan
) -> tuple[Any, tuple[Any, ...]]:
    saved = _forward(xp, _GRU, params, (H0,), X, size_at_t, sequences, scan)
    return _top(saved[0]), (*saved, X, H0)


@formula
def gru_forward_inference(
    xp: Any, params: Any, H0: Any, X: Any, size_at_t: Any, *, sequences: int, scan: Scan
) -> Any:
    return _top(_forward(xp, _GRU, params, (H0,), X, size_at_t, sequences, scan)[0])


@formula
def backprop_gru(
    xp: Any, dY: Any, size_at_t: Any, params: Any, fwd_state: tuple[Any, ...], *, sequences: int, scan: Scan
) -> tuple[Any, ...]:
    Y, G, X, H0 = fwd_state
    return _backward(xp, _GRU, dY, size_at_t, params, (Y, G), X, (H0,), sequences, scan)


class _Cell(NamedTuple):
    """One step. `forward(xp, a, u, before)` takes the products with the input and with the hidden state, and the
    states before; it returns the new states and the gates. `needed(xp, before, after)` is what its gradient needs
    of the states, for all rows at once. `backward(xp, d_states, gates, *needed)` returns the gradients of a and
    of u, and those of the states before but for what comes through u."""

    gates: int
    forward: Callable[..., Any]
    needed: Callable[..., Any]
    backward: Callable[..., Any]


def _lstm_step(xp: Any, a: Any, u: Any, before: Any) -> Any:
    z = a + u
    f, i, o = (sigmoid(xp, z[:, k]) for k in range(3))
    g = xp.tanh(z[:, 3])
    c = f * before[1] + i * g
    return (o * xp.tanh(c), c), xp.stack((f, i, o, g), axis=1)


def _of_cells(xp: Any, before: Any, after: Any) -> Any:
    return before[1], xp.tanh(after[1])


def _backprop_lstm_step(xp: Any, d_states: Any, gates: Any, c: Any, t: Any) -> Any:
    dh, dc = d_states
    f, i, o, g = (gates[:, k] for k in range(4))
    dc = dc + dh * o * (1 - t * t)
    df, di, do, dg = dc * c, dc * g, dh * t, dc * i
    da = xp.stack((df * f * (1 - f), di * i * (1 - i), do * o * (1 - o), dg * (1 - g * g)), axis=1)
    return da, da, (xp.zeros_like(dh), dc * f)


def _gru_step(xp: Any, a: Any, u: Any, before: Any) -> Any:
    r, z = (sigmoid(xp, a[:, k] + u[:, k]) for k in range(2))
    n = xp.tanh(a[:, 2] + r * u[:, 2])
    return ((1 - z) * n + z * before[0],), xp.stack((r, z, n, u[:, 2]), axis=1)


def _backprop_gru_step(xp: Any, d_states: Any, gates: Any, h: Any) -> Any:
    (dh,) = d_states
    r, z, n, un = (gates[:, k] for k in range(4))
    dn = dh * (1 - z) * (1 - n * n)
    dr = dn * un * r * (1 - r)
    dz = dh * (h - n) * z * (1 - z)
    return xp.stack((dr, dz, dn), axis=1), xp.stack((dr, dz, dn * r), axis=1), (dh * z,)


_LSTM = _Cell(4, _lstm_step, _of_cells, _backprop_lstm_step)
_GRU = _Cell(3, _gru_step, lambda xp, before, after: before, _backprop_gru_step)


def _forward(
    xp: Any, cell: _Cell, params: Any, starts: Any, X: Any, size_at_t: Any, sequences: int, scan: Scan
) -> tuple[Any, ...]:
    """Hidden states, gates, and further states, each (depth, T, dirs, ...)."""
    dtype, wide = X.dtype, sum_type(X.dtype)
    depth, dirs, nO = starts[0].shape
    T = X.shape[0]
    if T == 0:
        hidden, gates = (depth, 0, dirs, nO), (depth, 0, dirs, 4, nO)
        return tuple(xp.zeros(shape, dtype) for shape in (hidden, gates, *(hidden for _ in starts[1:])))
    params, X = params.astype(wide), X.astype(wide)
    starts = [start.astype(wide) for start in starts]
    sizes = size_at_t.astype("int32")
    weights = _weights(params, cell.gates, starts[0].shape, X.shape[1])
    layers = []
    for i in range(depth):
        directions = []
        for d in range(dirs):
            Wx, bx, Wh, bh = next(weights)

            def step(before: Any, xs: Any, Wh: Any = Wh, bh: Any = bh) -> Any:
                (a,) = xs
                u = (xp.matmul(before[0], Wh.T) + bh).reshape(a.shape)
                after, gates = cell.forward(xp, a, u, before)
                return after, (after[0], gates, *after[1:])

            inputs = (xp.matmul(X, Wx.T) + bx).reshape(T, cell.gates, nO)
            carry = tuple(xp.broadcast_to(start[i, d], (sequences, nO)) for start in starts)
            directions.append(scan(step, carry, (inputs,), sizes, backwards=d == 1)[1])
        layers.append([xp.stack(arrays, axis=1) for arrays in zip(*directions, strict=True)])
        X = layers[-1][0].reshape(T, dirs * nO)
    return tuple(xp.stack(arrays).astype(dtype) for arrays in zip(*layers, strict=True))


def _backward(
    xp: Any, cell: _Cell, dY: Any, size_at_t: Any, params: Any, saved: Any, X: Any, starts: Any,
    sequences: int, scan: Scan,
) -> tuple[Any, ...]:  # fmt: skip
    """The gradients of X, params and starts."""
    dtype, wide = X.dtype, sum_type(X.dtype)
    depth, dirs, nO = starts[0].shape
    T = X.shape[0]
    if T == 0:
        return tuple(xp.zeros(array.shape, dtype) for array in (X, params, *starts))
    dY, params, X = dY.astype(wide), params.astype(wide), X.astype(wide)
    saved, starts = [array.astype(wide) for array in saved], [start.astype(wide) for start in starts]
    sizes = size_at_t.astype("int32")
    earlier = _earlier(xp, sizes, T)
    weights = list(_weights(params, cell.gates, starts[0].shape, X.shape[1]))
    d_weights: list[Any] = []
    d_starts: list[Any] = []
    for i in reversed(range(depth)):
        below = X if i == 0 else saved[0][i - 1].reshape(T, dirs * nO)
        dY, above = xp.zeros_like(below), dY.reshape(T, dirs, nO)
        for d in reversed(range(dirs)):
            Wx, _, Wh, _ = weights[i * dirs + d]
            hidden, gates, *others = (array[i][:, d] for array in saved)
            after = (hidden, *others)
            row, is_first = earlier[d]
            before = tuple(
                xp.where(is_first, start[i, d], each[row]) for each, start in zip(after, starts, strict=True)
            )

            def step(d_after: Any, xs: Any, Wh: Any = Wh) -> Any:
                dh, *kept = xs
                da, du, d_before = cell.backward(xp, (d_after[0] + dh, *d_after[1:]), *kept)
                through = xp.matmul(du.reshape(-1, cell.gates * nO), Wh)
                return (d_before[0] + through, *d_before[1:]), (da,) if du is da else (da, du)

            carry = tuple(xp.zeros((sequences, nO), dtype=wide) for _ in starts)
            xs = (above[:, d], gates, *cell.needed(xp, before, after))
            d_start, d_products = scan(step, carry, xs, sizes, backwards=d == 0)
            da, *rest = (array.reshape(T, cell.gates * nO) for array in d_products)
            du = rest[0] if rest else da
            gradients = (xp.matmul(da.T, below), da.sum(axis=0), xp.matmul(du.T, before[0]), du.sum(axis=0))
            d_weights = [*(gradient.reshape(-1) for gradient in gradients), *d_weights]
            d_starts = [[array.sum(axis=0) for array in d_start], *d_starts]
            dY = dY + xp.matmul(da, Wx)
    shape = starts[0].shape
    totals = tuple(xp.concatenate(arrays).reshape(shape) for arrays in zip(*d_starts, strict=True))
    return tuple(array.astype(dtype) for array in (dY, xp.concatenate(d_weights), *totals))


def _earlier(xp: Any, sizes: Any, rows: int) -> list[tuple[Any, Any]]:
    """For a direction that begins with the first rows, and for one that begins with the last: (T,) the row whose
    step came before that of each row, and (T, 1) whether there was none."""
    ends = xp.cumsum(sizes, dtype="int32")
    numbers = xp.arange(rows, dtype="int32")
    step = xp.clip(xp.searchsorted(ends, numbers, side="right"), 0, len(sizes) - 1).astype("int32")
    sequence = numbers - (ends - sizes)[step]
    are_longer = sequence < xp.concatenate((sizes[1:], sizes[:1] * 0))[step]
    # Unsigned, so that nobody has to ask which indices count from the end.
    up = xp.where(step > 0, numbers - sizes[xp.maximum(step - 1, 0)], 0).astype("uint32")
    down = xp.where(are_longer, numbers + sizes[step], 0).astype("uint32")
    return [(up, (step == 0)[:, None]), (down, ~are_longer[:, None])]


def _weights(params: Any, gates: int, shape: tuple[int, ...], nI: int) -> Iterator[tuple[Any, ...]]:
    """Wx, bx, Wh, bh of each layer and direction."""
    depth, dirs, nO = shape
    at = 0
    for i in range(depth):
        width = nI if i == 0 else dirs * nO
        for _ in range(dirs):
            pieces = []
            for columns in ((width,), (), (nO,), ()):
                size = gates * nO * (columns[0] if columns else 1)
                pieces.append(params[at : at + size].reshape(gates * nO, *columns))
                at += size
            yield tuple(pieces)


def _top(Y: Any) -> Any:
    return Y[-1].reshape(Y.shape[1], Y.shape[2] * Y.shape[3])
