"""Softmax, cross-entropy and the normalisations: each row is read into the cache once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import added, flat, floats, matrix, rows, sums
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.counts import larger
from triops.backends.numpy.compiled.jit import FAST, inlined, summed
from triops.backends.numpy.compiled.scalar import F, I, exp, keep_nan, order, unorder

__all__ = ["LOOPS", "ROWS", "ROWS_OF_A_SLICE"]

ROWS_OF_A_SLICE = 128  # of gradients that are added up; fewer are one slice
_THRESHOLD = 32_768  # entries from which a second thread pays
_LOWEST_KEY = I(-(2**31))


@inlined
def top_of(row: Any) -> Any:
    key = _LOWEST_KEY
    for j in range(row.size):
        key = larger(key, order(row[j]))
    return unorder(key)


@summed
def exps_of(row: Any, top: Any, cold: Any, exps: Any) -> Any:
    """exps = exp((row - top) cold), and their sum."""
    total = F(0)
    for j in range(row.size):
        x = (row[j] - top) * cold
        e = keep_nan(x, exp(x))
        exps[j] = e
        total += e
    return total


@summed
def total_of(row: Any) -> Any:
    total = F(0)
    for j in range(row.size):
        total += row[j]
    return total


@summed
def total_of_product(row: Any, other: Any) -> Any:
    total = F(0)
    for j in range(row.size):
        total += row[j] * other[j]
    return total


@summed
def total_of_squares(row: Any, mean: Any) -> Any:
    total = F(0)
    for j in range(row.size):
        centred = row[j] - mean
        total += centred * centred
    return total


@summed
def weighted_of(weights: Any, row: Any, top: Any) -> Any:
    """Σ weights (row - top), where 0·∞ is 0."""
    total = F(0)
    for j in range(row.size):
        total += weights[j] * (row[j] - top) if weights[j] != F(0) else F(0)
    return total


@summed
def layer_norm_sums(dy: Any, x: Any, G: Any, mean: Any, scale: Any, dG: Any, db: Any) -> Any:
    """Σ dy G and Σ dy G x̂; dG and db grow by the row's share."""
    total = F(0)
    along = F(0)
    for j in range(dy.size):
        xhat = (x[j] - mean) * scale
        g = dy[j] * G[j]
        total += g
        along += g * xhat
        dG[j] += dy[j] * xhat
        db[j] += dy[j]
    return total, along


@summed
def rms_norm_sums(dy: Any, x: Any, G: Any, scale: Any, dG: Any) -> Any:
    """Σ dy G x̂; dG grows by the row's share."""
    along = F(0)
    for j in range(dy.size):
        xhat = x[j] * scale
        along += dy[j] * G[j] * xhat
        dG[j] += dy[j] * xhat
    return along


def softmax_rows(X: Any, Y: Any, cold: Any) -> None:
    for i in range(X.shape[0]):
        share = F(1) / exps_of(X[i], top_of(X[i]), cold, Y[i])
        for j in range(X.shape[1]):
            Y[i, j] *= share


def backprop_softmax_rows(dY: Any, Y: Any, dX: Any, cold: Any) -> None:
    for i in range(Y.shape[0]):
        total = total_of_product(Y[i], dY[i])
        for j in range(Y.shape[1]):
            dX[i, j] = Y[i, j] * (dY[i, j] - total) * cold


def log_softmax_rows(X: Any, Y: Any) -> None:
    for i in range(X.shape[0]):
        top = top_of(X[i])
        log_total = F(math.log(exps_of(X[i], top, F(1), Y[i])))
        for j in range(X.shape[1]):
            Y[i, j] = (X[i, j] - top) - log_total


def backprop_log_softmax_rows(dY: Any, Y: Any, dX: Any) -> None:
    for i in range(Y.shape[0]):
        total = total_of(dY[i])
        for j in range(Y.shape[1]):
            dX[i, j] = dY[i, j] - keep_nan(Y[i, j], exp(Y[i, j])) * total


def cross_entropy_rows(X: Any, T: Any, losses: Any, dX: Any) -> None:
    for i in range(X.shape[0]):
        top = top_of(X[i])
        total = exps_of(X[i], top, F(1), dX[i])
        log_total = F(math.log(total))
        mass = total_of(T[i])
        scale = mass / total
        for j in range(X.shape[1]):
            dX[i, j] = dX[i, j] * scale - T[i, j]
        losses[i] = mass * log_total - weighted_of(T[i], X[i], top)


@summed
def wide_products(row: Any, other: Any) -> Any:
    """Σ row row, Σ other other and Σ row other, in float64, which holds the square of any float32."""
    squares, others, products = 0.0, 0.0, 0.0
    for j in range(row.size):
        x, t = np.float64(row[j]), np.float64(other[j])
        squares += x * x
        others += t * t
        products += x * t
    return squares, others, products


def cosine_distance_rows(X: Any, T: Any, losses: Any, dX: Any) -> None:
    for i in range(X.shape[0]):
        squares, others, products = wide_products(X[i], T[i])
        if squares == 0.0 or others == 0.0:
            losses[i] = F(1)
            for j in range(X.shape[1]):
                dX[i, j] = F(0)
        else:
            length = math.sqrt(squares)
            both = length * math.sqrt(others)
            losses[i] = F(1.0 - products / both)
            own, shared = products / (both * squares), 1.0 / both
            for j in range(X.shape[1]):
                dX[i, j] = F(own * X[i, j] - shared * T[i, j])


def layer_norm_rows(X: Any, G: Any, b: Any, Y: Any, mu: Any, rstd: Any, eps: Any) -> None:
    width = F(X.shape[1])
    for i in range(X.shape[0]):
        mean = total_of(X[i]) / width
        scale = F(1) / np.sqrt(total_of_squares(X[i], mean) / width + eps)
        for j in range(X.shape[1]):
            Y[i, j] = (X[i, j] - mean) * scale * G[j] + b[j]
        mu[i] = mean
        rstd[i] = scale


def backprop_layer_norm_rows(
    dY: Any, X: Any, mu: Any, rstd: Any, G: Any, dX: Any, dG: Any, db: Any, part: int
) -> None:
    # Each slice has sums of its own for the parameters.
    width = F(dY.shape[1])
    for i in range(dY.shape[0]):
        mean, scale = mu[i], rstd[i]
        total, along = layer_norm_sums(dY[i], X[i], G, mean, scale, dG[part], db[part])
        total, along = total / width, along / width
        for j in range(dY.shape[1]):
            xhat = (X[i, j] - mean) * scale
            dX[i, j] = scale * ((dY[i, j] * G[j] - total) - xhat * along)


def rms_norm_rows(X: Any, G: Any, Y: Any, rstd: Any, eps: Any) -> None:
    width = F(X.shape[1])
    for i in range(X.shape[0]):
        scale = F(1) / np.sqrt(total_of_product(X[i], X[i]) / width + eps)
        for j in range(X.shape[1]):
            Y[i, j] = X[i, j] * scale * G[j]
        rstd[i] = scale


def backprop_rms_norm_rows(dY: Any, X: Any, rstd: Any, G: Any, dX: Any, dG: Any, part: int) -> None:
    # Each slice has sums of its own for the parameter.
    width = F(dY.shape[1])
    for i in range(dY.shape[0]):
        scale = rstd[i]
        along = rms_norm_sums(dY[i], X[i], G, scale, dG[part]) / width
        for j in range(dY.shape[1]):
            dX[i, j] = scale * (dY[i, j] * G[j] - X[i, j] * scale * along)


def _kernel(function: Callable[..., None], *sliced: str, fastmath: frozenset[str] = FAST) -> Kernel:
    return Kernel(function, globals(), dict.fromkeys(sliced, 1), fastmath=fastmath, threshold=_THRESHOLD, grain=1)


_softmax = _kernel(softmax_rows, "X", "Y")
_backprop_softmax = _kernel(backprop_softmax_rows, "dY", "Y", "dX")
_log_softmax = _kernel(log_softmax_rows, "X", "Y")
_backprop_log_softmax = _kernel(backprop_log_softmax_rows, "dY", "Y", "dX")
_cross_entropy = _kernel(cross_entropy_rows, "X", "T", "losses", "dX")
_cosine_distance = _kernel(cosine_distance_rows, "X", "T", "losses", "dX")
_layer_norm = _kernel(layer_norm_rows, "X", "Y", "mu", "rstd")
# A contraction would keep the rounding error of dY G in its difference from the mean, times rstd.
_backprop_layer_norm = _kernel(
    backprop_layer_norm_rows, "dY", "X", "mu", "rstd", "dX", fastmath=FAST - {"contract"}
)
_rms_norm = _kernel(rms_norm_rows, "X", "Y", "rstd")
_backprop_rms_norm = _kernel(backprop_rms_norm_rows, "dY", "X", "rstd", "dX", fastmath=FAST - {"contract"})
LOOPS: Mapping[str, Kernel] = {
    "softmax": _softmax,
    "backprop_softmax": _backprop_softmax,
    "log_softmax": _log_softmax,
    "backprop_log_softmax": _backprop_log_softmax,
    "cross_entropy": _cross_entropy,
    "cosine_distance": _cosine_distance,
    "layer_norm": _layer_norm,
    "backprop_layer_norm": _backprop_layer_norm,
    "rms_norm": _rms_norm,
    "backprop_rms_norm": _backprop_rms_norm,
}


def softmax(X: Any, *, axis: int, temperature: float) -> Any:
    if axis != X.ndim - 1:
        return NotImplemented
    Y, x = floats(X.shape), rows(X)
    _softmax.run(len(x), x, rows(Y), 1.0 / temperature, size=X.size)
    return Y


def backprop_softmax(dY: Any, Y: Any, *, axis: int, temperature: float) -> Any:
    if axis != Y.ndim - 1:
        return NotImplemented
    dX, dy = floats(Y.shape), rows(dY)
    _backprop_softmax.run(len(dy), dy, rows(Y), rows(dX), 1.0 / temperature, size=Y.size)
    return dX


def log_softmax(X: Any, *, axis: int) -> Any:
    if axis != X.ndim - 1:
        return NotImplemented
    Y, x = floats(X.shape), rows(X)
    _log_softmax.run(len(x), x, rows(Y), size=X.size)
    return Y


def backprop_log_softmax(dY: Any, Y: Any, *, axis: int) -> Any:
    if axis != Y.ndim - 1:
        return NotImplemented
    dX, dy = floats(Y.shape), rows(dY)
    _backprop_log_softmax.run(len(dy), dy, rows(Y), rows(dX), size=Y.size)
    return dX


def cross_entropy(X: Any, T: Any) -> tuple[Any, Any]:
    losses, dX = floats(X.shape[0]), floats(X.shape)
    _cross_entropy.run(len(X), matrix(X), matrix(T), losses, dX, size=X.size)
    return losses, dX


def cosine_distance(X: Any, T: Any) -> tuple[Any, Any]:
    losses, dX = floats(X.shape[0]), floats(X.shape)
    _cosine_distance.run(len(X), matrix(X), matrix(T), losses, dX, size=X.size)
    return losses, dX


def layer_norm(X: Any, G: Any, b: Any, *, eps: float) -> tuple[Any, Any, Any]:
    shape, x = X.shape, rows(X)
    column = (*shape[:-1], 1)
    Y, mu, rstd = floats(shape), floats(column), floats(column)
    _layer_norm.run(len(x), x, flat(G), flat(b), rows(Y), mu.ravel(), rstd.ravel(), eps, size=X.size)
    return Y, mu, rstd


def backprop_layer_norm(dY: Any, X: Any, mu: Any, rstd: Any, G: Any) -> tuple[Any, Any, Any]:
    dX, dy, width = floats(dY.shape), rows(dY), dY.shape[-1]
    slices = _slices(len(dy))
    dG, db = sums(slices, width), sums(slices, width)
    _backprop_layer_norm.run(
        len(dy), dy, rows(X), flat(mu), flat(rstd), flat(G), rows(dX), dG, db, slices=slices, size=dY.size
    )
    return dX, added(dG, width), added(db, width)


def rms_norm(X: Any, G: Any, *, eps: float) -> tuple[Any, Any]:
    Y, x, rstd = floats(X.shape), rows(X), floats((*X.shape[:-1], 1))
    _rms_norm.run(len(x), x, flat(G), rows(Y), rstd.ravel(), eps, size=X.size)
    return Y, rstd


def backprop_rms_norm(dY: Any, X: Any, rstd: Any, G: Any) -> tuple[Any, Any]:
    dX, dy, width = floats(dY.shape), rows(dY), dY.shape[-1]
    slices = _slices(len(dy))
    dG = sums(slices, width)
    _backprop_rms_norm.run(len(dy), dy, rows(X), flat(rstd), flat(G), rows(dX), dG, slices=slices, size=dY.size)
    return dX, added(dG, width)


def _slices(count: int) -> int:
    """How many sums for the parameters. Short ones keep their digits: a slice has at most some hundred rows."""
    return 1 if count < ROWS_OF_A_SLICE else min(64, count // 64)


ROWS: Mapping[str, Callable[..., Any]] = {
    "softmax": softmax,
    "backprop_softmax": backprop_softmax,
    "log_softmax": log_softmax,
    "backprop_log_softmax": backprop_log_softmax,
    "cross_entropy": cross_entropy,
    "cosine_distance": cosine_distance,
    "layer_norm": layer_norm,
    "backprop_layer_norm": backprop_layer_norm,
    "rms_norm": rms_norm,
    "backprop_rms_norm": backprop_rms_norm,
}
