"""Recurrent networks. Rows that are packed by step are spread to (step, sequence), with a mask of where there is
a row; a scan goes through the steps; what comes out is packed again.

The scan is the backend's own: `scan(step, carry, xs)` calls `carry, ys = step(carry, x)` for each x along the
first dimension of the arrays in xs, and returns the last carry and the ys as arrays.
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
    states before; it returns the new states and the gates. `backward(xp, d_states, gates, before, after)` returns
    the gradients of a and of u, and those of the states before but for what comes through u."""

    gates: int
    forward: Callable[..., Any]
    backward: Callable[..., Any]


def _lstm_step(xp: Any, a: Any, u: Any, before: Any) -> Any:
    z = a + u
    f, i, o = (sigmoid(xp, z[:, k]) for k in range(3))
    g = xp.tanh(z[:, 3])
    c = f * before[1] + i * g
    return (o * xp.tanh(c), c), xp.stack((f, i, o, g), axis=1)


def _backprop_lstm_step(xp: Any, d_states: Any, gates: Any, before: Any, after: Any) -> Any:
    dh, dc = d_states
    f, i, o, g = (gates[:, k] for k in range(4))
    t = xp.tanh(after[1])
    dc = dc + dh * o * (1 - t * t)
    df, di, do, dg = dc * before[1], dc * g, dh * t, dc * i
    da = xp.stack((df * f * (1 - f), di * i * (1 - i), do * o * (1 - o), dg * (1 - g * g)), axis=1)
    return da, da, (xp.zeros_like(dh), dc * f)


def _gru_step(xp: Any, a: Any, u: Any, before: Any) -> Any:
    r, z = (sigmoid(xp, a[:, k] + u[:, k]) for k in range(2))
    n = xp.tanh(a[:, 2] + r * u[:, 2])
    return ((1 - z) * n + z * before[0],), xp.stack((r, z, n, u[:, 2]), axis=1)


def _backprop_gru_step(xp: Any, d_states: Any, gates: Any, before: Any, after: Any) -> Any:
    (dh,) = d_states
    r, z, n, un = (gates[:, k] for k in range(4))
    dn = dh * (1 - z) * (1 - n * n)
    dr = dn * un * r * (1 - r)
    dz = dh * (before[0] - n) * z * (1 - z)
    return xp.stack((dr, dz, dn), axis=1), xp.stack((dr, dz, dn * r), axis=1), (dh * z,)


_LSTM = _Cell(4, _lstm_step, _backprop_lstm_step)
_GRU = _Cell(3, _gru_step, _backprop_gru_step)


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
    layout = _Layout(xp, size_at_t, sequences, T)
    weights = _weights(params, cell.gates, starts[0].shape, X.shape[1])
    layers = []
    for i in range(depth):
        directions = []
        for d in range(dirs):
            Wx, bx, Wh, bh = next(weights)
            inputs = (xp.matmul(X, Wx.T) + bx).reshape(T, cell.gates, nO)
            rows, there = layout.turned(layout.spread(inputs), d), layout.turned(layout.there, d)

            def step(before: Any, xs: Any, Wh: Any = Wh, bh: Any = bh) -> Any:
                a, here = xs
                u = (xp.matmul(before[0], Wh.T) + bh).reshape(a.shape)
                after, gates = cell.forward(xp, a, u, before)
                kept = tuple(xp.where(here[:, None], new, old) for new, old in zip(after, before, strict=True))
                return kept, (after[0], gates, *after[1:])

            carry = tuple(xp.broadcast_to(start[i, d], (sequences, nO)) for start in starts)
            saved = scan(step, carry, (rows, there))[1]
            directions.append([layout.turned(array, d) for array in saved])
        layers.append([layout.packed(xp.stack(arrays, axis=2)) for arrays in zip(*directions, strict=True)])
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
    layout = _Layout(xp, size_at_t, sequences, T)
    weights = list(_weights(params, cell.gates, starts[0].shape, X.shape[1]))
    d_weights: list[Any] = []
    d_starts: list[Any] = []
    for i in reversed(range(depth)):
        below = X if i == 0 else saved[0][i - 1].reshape(T, dirs * nO)
        dY, above = xp.zeros_like(below), layout.spread(dY.reshape(T, dirs, nO))
        spread = [layout.spread(array[i]) for array in saved]
        for d in reversed(range(dirs)):
            Wx, _, Wh, _ = weights[i * dirs + d]
            there = layout.turned(layout.there, d)
            hidden, gates, *others = (layout.turned(array[:, :, d], d) for array in spread)
            after = (hidden, *others)
            before = tuple(_before(xp, a, there, start[i, d]) for a, start in zip(after, starts, strict=True))
            d_hidden = layout.turned(above[:, :, d], d)

            def step(d_after: Any, xs: Any, Wh: Any = Wh) -> Any:
                dh, gates, here, before, after = xs
                da, du, d_before = cell.backward(xp, (d_after[0] + dh, *d_after[1:]), gates, before, after)
                through = xp.matmul(du.reshape(du.shape[0], -1), Wh)
                d_before = (d_before[0] + through, *d_before[1:])
                kept = tuple(
                    xp.where(here[:, None], new, old) for new, old in zip(d_before, d_after, strict=True)
                )
                return kept, (da,) if du is da else (da, du)

            carry = tuple(xp.zeros((sequences, nO), dtype=wide) for _ in starts)
            xs = tuple(_flipped(array) for array in (d_hidden, gates, there))
            xs = (*xs, tuple(map(_flipped, before)), tuple(map(_flipped, after)))
            d_start, slopes = scan(step, carry, xs)
            da, *rest = (layout.packed(layout.turned(_flipped(array), d)).reshape(T, -1) for array in slopes)
            du = rest[0] if rest else da
            previous = layout.packed(layout.turned(before[0], d))
            gradients = (xp.matmul(da.T, below), da.sum(axis=0), xp.matmul(du.T, previous), du.sum(axis=0))
            d_weights = [*(gradient.reshape(-1) for gradient in gradients), *d_weights]
            d_starts = [[array.sum(axis=0) for array in d_start], *d_starts]
            dY = dY + xp.matmul(da, Wx)
    shape = starts[0].shape
    totals = tuple(xp.stack(arrays).reshape(shape) for arrays in zip(*d_starts, strict=True))
    return tuple(array.astype(dtype) for array in (dY, xp.concatenate(d_weights), *totals))


class _Layout:
    """Where a row is, packed and spread."""

    def __init__(self, xp: Any, size_at_t: Any, sequences: int, rows: int) -> None:
        self._xp = xp
        sizes = size_at_t.astype("int32")
        ends = xp.cumsum(sizes, dtype="int32")
        numbers, n = xp.arange(rows, dtype="int32"), xp.arange(sequences, dtype="int32")
        self.there = n < sizes[:, None]
        # Unsigned, so that nobody has to ask which indices count from the end.
        self._spread = xp.clip((ends - sizes)[:, None] + n, 0, rows - 1).astype("uint32")
        step = xp.clip(xp.searchsorted(ends, numbers, side="right"), 0, sizes.shape[0] - 1).astype("int32")
        self._packed = xp.clip(
            step * sequences + numbers - (ends - sizes)[step], 0, sizes.shape[0] * sequences - 1
        ).astype("uint32")

    def spread(self, rows: Any) -> Any:
        """(T, ...) as (L, N, ...); entries without a row hold that of another."""
        return rows[self._spread]

    def packed(self, steps: Any) -> Any:
        """(L, N, ...) as (T, ...)."""
        return steps.reshape(-1, *steps.shape[2:])[self._packed]

    def turned(self, steps: Any, direction: int) -> Any:
        """In the order of the direction, and back."""
        return _flipped(steps) if direction else steps


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


def _before(xp: Any, states: Any, there: Any, start: Any) -> Any:
    """The state that each step began with: that of the step before, the start where there was none."""
    earlier = xp.where(there[:-1, :, None], states[:-1], start)
    return xp.concatenate((xp.broadcast_to(start, (1, *states.shape[1:])), earlier))


def _top(Y: Any) -> Any:
    return Y[-1].reshape(Y.shape[1], Y.shape[2] * Y.shape[3])


def _flipped(steps: Any) -> Any:
    return steps[::-1]
