"""LSTM and GRU. The products with the input are one matrix product a layer, for all rows and both directions, and
so are the gradients of weights.

Sequences do not meet in the steps between: each thread takes some through all of them. A product of a step is
too small for the threads of a BLAS, which would wait for each other at every one, and for long where the machine
is busy. Every sequence has a row in the buffers that go from step to step. Where a sequence is not there yet its
row is what it starts from; where it is over its row is left alone. sizes: how many rows each step has, none at
times for the last ones; direction 1 begins with the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat, floats, matrix, zeros
from triops.backends.numpy.compiled.build import Kernel, on_one_thread
from triops.backends.numpy.compiled.counts import larger, smaller
from triops.backends.numpy.compiled.integers import wide
from triops.backends.numpy.compiled.places import at, get, put
from triops.backends.numpy.compiled.products import column_sums, multiply
from triops.backends.numpy.compiled.scalar import F, sigmoid, tanh
from triops.backends.numpy.compiled.tiles import PANEL, tiled, tiles_wide

__all__ = ["RECURRENT"]

_SEQUENCES = 8  # sequences from which a second thread pays


def lstm_steps(
    H: Any, V: Any, cells: Any, W: Any, sizes: Any, A: Any, biases: Any, Y: Any, G: Any, C: Any,
    d: int, start: int,
) -> None:  # fmt: skip
    n, b, first, steps = H.shape[1], at(biases, 0), d * A.shape[0], sizes.shape[0]
    for s in range(steps):
        step = sizes[steps - 1 - s] if d else sizes[s]
        first -= d * step
        size = smaller(larger(step - start, 0), H.shape[0])
        tiled(at(H, 0), n, 1, at(W, 0), W.shape[1], PANEL, at(V, 0), V.shape[1], size, n, V.shape[1], False)
        for k in range(size):
            row = (first + start + k) * A.shape[1] + d
            a, u, g = at(A, 4 * n * row), at(V, V.shape[1] * k), at(G, 4 * n * row)
            h, y, cell, c = at(H, n * k), at(Y, n * row), at(cells, n * k), at(C, n * row)
            for j in range(3 * n):
                put(g, j, sigmoid(get(a, j) + get(u, j) + get(b, j)))
            for j in range(n):
                i = 3 * n + j
                new = tanh(get(a, i) + get(u, i) + get(b, i))
                now = get(g, j) * get(cell, j) + get(g, n + j) * new
                out = get(g, 2 * n + j) * tanh(now)
                put(g, i, new)
                put(cell, j, now)
                put(c, j, now)
                put(h, j, out)
                put(y, j, out)
        first += (1 - d) * step


def gru_steps(
    H: Any, V: Any, W: Any, sizes: Any, A: Any, biases: Any, inner_bias: Any, Y: Any, G: Any,
    d: int, start: int,
) -> None:  # fmt: skip
    n, b, bh = H.shape[1], at(biases, 0), at(inner_bias, 0)
    first, steps = d * A.shape[0], sizes.shape[0]
    for s in range(steps):
        step = sizes[steps - 1 - s] if d else sizes[s]
        first -= d * step
        size = smaller(larger(step - start, 0), H.shape[0])
        tiled(at(H, 0), n, 1, at(W, 0), W.shape[1], PANEL, at(V, 0), V.shape[1], size, n, V.shape[1], False)
        for k in range(size):
            row = (first + start + k) * A.shape[1] + d
            a, u, g = at(A, 3 * n * row), at(V, V.shape[1] * k), at(G, 4 * n * row)
            h, y = at(H, n * k), at(Y, n * row)
            for j in range(2 * n):
                put(g, j, sigmoid(get(a, j) + get(u, j) + get(b, j)))
            for j in range(n):
                i = 2 * n + j
                inner = get(u, i) + get(bh, j)
                new = tanh(get(a, i) + get(b, i) + get(g, j) * inner)
                out = new + get(g, n + j) * (get(h, j) - new)
                put(g, i, new)
                put(g, 3 * n + j, inner)
                put(h, j, out)
                put(y, j, out)
        first += (1 - d) * step


def backprop_lstm_steps(
    dH: Any, d_cells: Any, W: Any, sizes: Any, dY: Any, G: Any, C: Any, before: Any, dA: Any,
    dV: Any, d: int, start: int,
) -> None:  # fmt: skip
    n, end, steps = d_cells.shape[1], (1 - d) * dY.shape[0], sizes.shape[0]
    for s in range(steps):
        step = sizes[s] if d else sizes[steps - 1 - s]
        end -= (1 - d) * step
        first, size = end + start, smaller(larger(step - start, 0), dH.shape[0])
        for k in range(size):
            row = (first + k) * dY.shape[1] + d
            dh, dc, dy, g = at(dH, dH.shape[1] * k), at(d_cells, n * k), at(dY, n * row), at(G, 4 * n * row)
            c, old, da = at(C, n * row), at(before, n * (first + k)), at(dA, 4 * n * (first + k))
            for j in range(n):
                forget, enter, leave, new = get(g, j), get(g, n + j), get(g, 2 * n + j), get(g, 3 * n + j)
                t = tanh(get(c, j))
                d_out = get(dy, j) + get(dh, j)
                d_cell = get(dc, j) + d_out * leave * (F(1) - t * t)
                put(dc, j, d_cell * forget)
                put(da, j, d_cell * get(old, j) * forget * (F(1) - forget))
                put(da, n + j, d_cell * new * enter * (F(1) - enter))
                put(da, 2 * n + j, d_out * t * leave * (F(1) - leave))
                put(da, 3 * n + j, d_cell * enter * (F(1) - new * new))
        terms = dV.shape[1]
        tiled(
            at(dV, terms * first), terms, 1, at(W, 0), W.shape[1], PANEL, at(dH, 0), W.shape[1], size, terms,
            W.shape[1], False,
        )  # fmt: skip
        end += d * step


def backprop_gru_steps(
    dH: Any, direct: Any, W: Any, sizes: Any, dY: Any, G: Any, before: Any, dA: Any, dU: Any,
    dV: Any, d: int, start: int,
) -> None:  # fmt: skip
    n, end, steps = direct.shape[1], (1 - d) * dY.shape[0], sizes.shape[0]
    for s in range(steps):
        step = sizes[s] if d else sizes[steps - 1 - s]
        end -= (1 - d) * step
        first, size = end + start, smaller(larger(step - start, 0), dH.shape[0])
        for k in range(size):
            row = (first + k) * dY.shape[1] + d
            dh, kept, dy, g = at(dH, dH.shape[1] * k), at(direct, n * k), at(dY, n * row), at(G, 4 * n * row)
            old, da, du = at(before, n * (first + k)), at(dA, 3 * n * (first + k)), at(dU, 3 * n * (first + k))
            for j in range(n):
                reset, keep, new, inner = get(g, j), get(g, n + j), get(g, 2 * n + j), get(g, 3 * n + j)
                d_out = get(dy, j) + get(dh, j) + get(kept, j)
                d_new = d_out * (F(1) - keep) * (F(1) - new * new)
                d_reset = d_new * inner * reset * (F(1) - reset)
                d_keep = d_out * (get(old, j) - new) * keep * (F(1) - keep)
                put(kept, j, d_out * keep)
                put(da, j, d_reset)
                put(da, n + j, d_keep)
                put(da, 2 * n + j, d_new)
                put(du, j, d_reset)
                put(du, n + j, d_keep)
                put(du, 2 * n + j, d_new * reset)
        terms = dV.shape[1]
        tiled(
            at(dV, terms * first), terms, 1, at(W, 0), W.shape[1], PANEL, at(dH, 0), W.shape[1], size, terms,
            W.shape[1], False,
        )  # fmt: skip
        end += d * step


def earlier_rows(states: Any, d: int, sizes: Any, begin: Any, earlier: Any) -> None:
    n, first, steps = begin.size, 0, sizes.shape[0]
    for s in range(steps):
        step, far = sizes[s], sizes[s] if d else -sizes[s - 1]
        known = step if s > 0 else 0
        if d:
            known = sizes[s + 1] if s + 1 < steps else 0
        for row in range(first, first + step):
            source, target = at(begin, 0), at(earlier, n * row)
            if row - first < known:
                source = at(states, n * ((row + far) * states.shape[1] + d))
            for j in range(n):
                put(target, j, get(source, j))
        first += step


def _kernel(function: Callable[..., None], *sliced: str) -> Kernel:
    return Kernel(function, globals(), dict.fromkeys(sliced, 1), threshold=_SEQUENCES)


_FORWARD = {4: _kernel(lstm_steps, "H", "V", "cells"), 3: _kernel(gru_steps, "H", "V")}
_BACKWARD = {
    4: _kernel(backprop_lstm_steps, "dH", "d_cells"),
    3: _kernel(backprop_gru_steps, "dH", "direct"),
}
_earlier_rows = on_one_thread(earlier_rows, globals())


def lstm_forward_training(
    params: Any, H0: Any, C0: Any, X: Any, size_at_t: Any, *, sequences: int, scan: Any
) -> Any:
    result = _forward(4, params, (H0, C0), X, size_at_t, keep=True)
    return result if result is NotImplemented else (result[0], (*result[1:], X, H0, C0))


def lstm_forward_inference(
    params: Any, H0: Any, C0: Any, X: Any, size_at_t: Any, *, sequences: int, scan: Any
) -> Any:
    result = _forward(4, params, (H0, C0), X, size_at_t, keep=False)
    return result if result is NotImplemented else result[0]


def backprop_lstm(
    dY: Any, size_at_t: Any, params: Any, fwd_state: tuple[Any, ...], *, sequences: int, scan: Any
) -> Any:
    Y, G, C, X, H0, C0 = fwd_state
    return _backward(4, dY, size_at_t, params, (Y, G, C), X, (H0, C0))


def gru_forward_training(params: Any, H0: Any, X: Any, size_at_t: Any, *, sequences: int, scan: Any) -> Any:
    result = _forward(3, params, (H0,), X, size_at_t, keep=True)
    return result if result is NotImplemented else (result[0], (*result[1:], X, H0))


def gru_forward_inference(params: Any, H0: Any, X: Any, size_at_t: Any, *, sequences: int, scan: Any) -> Any:
    result = _forward(3, params, (H0,), X, size_at_t, keep=False)
    return result if result is NotImplemented else result[0]


def backprop_gru(
    dY: Any, size_at_t: Any, params: Any, fwd_state: tuple[Any, ...], *, sequences: int, scan: Any
) -> Any:
    Y, G, X, H0 = fwd_state
    return _backward(3, dY, size_at_t, params, (Y, G), X, (H0,))


def _forward(gates: int, params: Any, starts: tuple[Any, ...], X: Any, size_at_t: Any, *, keep: bool) -> Any:
    """The output, then hidden states, gates, and cells where there are any."""
    if not len(X):
        return NotImplemented
    shape = depth, dirs, nO = starts[0].shape
    sizes, rows = wide(size_at_t), len(X)
    layers = depth if keep else 1
    Y = floats((depth, rows, dirs, nO))
    G = floats((layers, rows, dirs, 4, nO))
    further = [floats((layers, rows, dirs, nO)) for _ in starts[1:]]
    N = int(sizes[0])
    V = floats((N, tiles_wide(gates * nO)))
    below = matrix(X)
    pieces = list(_pieces(flat(params), gates, shape, X.shape[1]))
    for i in range(depth):
        saved = [array[i if keep else 0] for array in (G, *further)]
        own = pieces[dirs * i : dirs * (i + 1)]
        Wx = own[0][0] if dirs == 1 else np.concatenate([each[0] for each in own])
        # Not where the gates go: a loop over memory that overlaps is not vectorised.
        A = multiply(below, False, Wx, True).reshape(rows, dirs, gates, nO)
        for d, (_, bx, Wh, bh) in enumerate(own):
            H, *cells = [_repeated(start[i, d], N) for start in starts]
            biases = _biases(gates, bx, bh, nO)
            _FORWARD[gates].run(N, H, V, *cells, _widened(Wh.T), sizes, A, *biases, Y[i], *saved, d)
        below = Y[i].reshape(rows, dirs * nO)
    return below, Y, G, *further


def _backward(
    gates: int, dY: Any, size_at_t: Any, params: Any, saved: tuple[Any, ...], X: Any, starts: tuple[Any, ...]
) -> Any:
    """The gradients of X, params and starts."""
    if not len(X):
        return NotImplemented
    shape = depth, dirs, nO = starts[0].shape
    sizes, rows, X = wide(size_at_t), len(X), matrix(X)
    N = int(sizes[0])
    Y, G, *further = [matrix(array) for array in saved]
    starts = tuple(matrix(start) for start in starts)
    d_params, d_starts = floats(params.shape), [floats(shape) for _ in starts]
    weights = list(_pieces(flat(params), gates, shape, X.shape[1]))
    gradients = list(_pieces(d_params, gates, shape, X.shape[1]))
    dA = floats((dirs, rows, gates * nO))
    # An LSTM adds both products, and so they have one gradient.
    dU = dA if gates == 4 else floats(dA.shape)
    slopes = [array.reshape(dirs, rows, gates, nO) for array in ((dA,) if gates == 4 else (dA, dU))]
    above = matrix(dY).reshape(rows, dirs, nO)
    for i in reversed(range(depth)):
        below = X if i == 0 else Y[i - 1].reshape(rows, dirs * nO)
        d_below: Any = None
        for d in range(dirs):
            Wx, _, Wh, _ = weights[dirs * i + d]
            earlier = [
                _earlier(states[i], d, sizes, start[i, d])
                for states, start in zip((Y, *further), starts, strict=True)
            ]
            dH, carried = zeros((N, tiles_wide(nO))), zeros((N, nO))
            _BACKWARD[gates].run(
                N, dH, carried, _widened(Wh), sizes, above, G[i],
                *[states[i] for states in further], earlier[-1], *[array[d] for array in slopes], dU[d], d,
            )  # fmt: skip
            dWx, dbx, dWh, dbh = gradients[dirs * i + d]
            dWx[...], dWh[...] = multiply(dA[d], True, below, False), multiply(dU[d], True, earlier[0], False)
            dbh[...] = column_sums(dU[d])
            dbx[...] = dbh if gates == 4 else column_sums(dA[d])
            product = multiply(dA[d], False, Wx, False)
            d_below = product if d_below is None else d_below + product
            if gates == 4:
                d_starts[1][i, d] = column_sums(carried)
            else:
                dH[:, :nO] += carried
            d_starts[0][i, d] = column_sums(dH)[:nO]
        above = d_below.reshape(rows, dirs, -1) if i else d_below
    return above, d_params, *d_starts


def _repeated(start: Any, N: int) -> Any:
    """A row for each sequence."""
    rows = floats((N, len(start)))
    rows[...] = start
    return rows


def _widened(W: Any) -> Any:
    """W with columns of zeros, up to where tiles end."""
    wide = zeros((len(W), tiles_wide(W.shape[1])))
    wide[:, : W.shape[1]] = W
    return wide


def _earlier(states: Any, d: int, sizes: Any, begin: Any) -> Any:
    """The state that each row's step began with."""
    earlier = floats((len(states), len(begin)))
    _earlier_rows(states, d, sizes, begin, earlier)
    return earlier


def _pieces(params: Any, gates: int, shape: tuple[int, ...], nI: int) -> Iterator[tuple[Any, ...]]:
    """Views of Wx, bx, Wh, bh, by layer and direction."""
    depth, dirs, nO = shape
    wide, at = gates * nO, 0
    for i in range(depth):
        columns = nI if i == 0 else dirs * nO
        for _ in range(dirs):
            bx = at + wide * columns
            Wh = bx + wide
            bh = Wh + wide * nO
            end = bh + wide
            yield (
                params[at:bx].reshape(wide, columns),
                params[bx:Wh],
                params[Wh:bh].reshape(wide, nO),
                params[bh:end],
            )
            at = end


def _biases(gates: int, bx: Any, bh: Any, nO: int) -> tuple[Any, ...]:
    """What a step adds: a GRU's reset gate comes between its last two biases."""
    both = bx + bh
    if gates == 4:
        return (both.reshape(4, nO),)
    both[2 * nO :] = bx[2 * nO :]
    return both.reshape(3, nO), bh[2 * nO :]


RECURRENT: Mapping[str, Callable[..., Any]] = {
    "lstm_forward_training": lstm_forward_training,
    "lstm_forward_inference": lstm_forward_inference,
    "backprop_lstm": backprop_lstm,
    "gru_forward_training": gru_forward_training,
    "gru_forward_inference": gru_forward_inference,
    "backprop_gru": backprop_gru,
}
