"""A matrix product with what follows it, while a slice of it is in the nearest caches: the bias with an
activation or with maxout, and backwards the gradients of both and of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import added, flat, matrix, sums
from triops.backends.numpy.compiled.blas import has_blas, sgemm, sgemm_address
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.elementwise import FORMS
from triops.backends.numpy.compiled.maxout import LONGEST
from triops.backends.numpy.compiled.products import multiply, slices_of
from triops.backends.numpy.compiled.scalar import I, kept

__all__ = ["FUSED"]

_THRESHOLD = 1 << 19  # multiplications from which a second thread pays
_INPUT_GRADIENT: Mapping[bool, tuple[str, ...]] = {True: ("sgemm(blas, dZ, False, W, False, dX)",), False: ()}
_DX: Mapping[bool, tuple[str, ...]] = {True: ("dX",), False: ()}


def _kernel(name: str, head: str, lines: list[str], names: Mapping[str, Any], *sliced: str) -> Kernel:
    source = "\n".join([f"def kernel({head}):", *(f"    {line}" for line in lines)])
    return Kernel(
        (name, source), {**names, "sgemm": sgemm}, dict.fromkeys(sliced, 1), threshold=_THRESHOLD, grain=1
    )


@cache
def _forward(activation: str, keeps_input: bool) -> Kernel:
    form = FORMS[activation]
    lines = [
        "sgemm(blas, X, False, W, True, Z)",
        "for i in range(Z.shape[0]):",
        "    for j in range(Z.shape[1]):",
        "        z = Z[i, j] + b[j]",
        *(["        Z[i, j] = z"] if keeps_input else []),
        f"        {'Y' if keeps_input else 'Z'}[i, j] = function({', '.join(('z', *form.settings))})",
    ]
    arrays = ("X", "Z", "Y") if keeps_input else ("X", "Z")
    head = ", ".join(("blas", "W", "b", *arrays, *form.settings))
    return _kernel(f"affine_{activation}", head, lines, {"function": form.function}, *arrays)


@cache
def _backward(activation: str, wants_dX: bool) -> Kernel:
    form = FORMS[f"backprop_{activation}"]
    lines = [
        "for i in range(dZ.shape[0]):",
        "    for j in range(dZ.shape[1]):",
        f"        dz = function({', '.join(('dY[i, j]', 'saved[i, j]', *form.settings))})",
        "        dZ[i, j] = dz",
        "        db[part, j] += dz",
        *_INPUT_GRADIENT[wants_dX],
    ]
    head = ", ".join(("blas", "W", "dY", "saved", "dZ", "dX", "db", *form.settings, "part"))
    names = {"function": form.function}
    return _kernel(f"backprop_affine_{activation}", head, lines, names, "dY", "saved", "dZ", *_DX[wants_dX])


@cache
def _maxout_forward(P: int) -> Kernel:
    lines = [
        "Z = np.empty((X.shape[0], W.shape[0]), np.float32)",  # in the nearest caches, until it is reduced
        "sgemm(blas, X, False, W, True, Z)",
        "for i in range(best.shape[0]):",
        "    z = Z[i]",
        "    for j in range(best.shape[1]):",
        f"        top = z[{P} * j] + b[{P} * j]",
        "        index = I(0)",
    ]
    for p in range(1, P):
        lines += [
            f"        x = z[{P} * j + {p}] + b[{P} * j + {p}]",
            "        better = (x > top) | ((x != x) & (top == top))",
            "        top = x if better else top",
            f"        index = I({p}) if better else index",
        ]
    lines += ["        best[i, j] = top", "        which[i, j] = index"]
    head, names = "blas, X, W, b, best, which", {"I": I, "np": np}
    return _kernel(f"affine_maxout_{P}", head, lines, names, "X", "best", "which")


@cache
def _maxout_backward(P: int, wants_dX: bool) -> Kernel:
    # In loops of their own the sums are vectorised, beside stores that lie apart they are not.
    lines = [
        "for i in range(dY.shape[0]):",
        "    dz = dZ[i]",
        "    for j in range(dY.shape[1]):",
        *(f"        dz[{P} * j + {p}] = kept(dY[i, j], which[i, j] == I({p}))" for p in range(P)),
        *(
            line
            for p in range(P)
            for line in (
                "    for j in range(dY.shape[1]):",
                f"        db[part, {p}, j] += kept(dY[i, j], which[i, j] == I({p}))",
            )
        ),
        *_INPUT_GRADIENT[wants_dX],
    ]
    head, names = "blas, W, dY, which, dZ, dX, db, part", {"I": I, "kept": kept}
    return _kernel(f"backprop_affine_maxout_{P}", head, lines, names, "dY", "which", "dZ", *_DX[wants_dX])


def affine_activation(X: Any, W: Any, b: Any, *, activation: str, settings: Any, keeps_input: bool) -> Any:
    rows, nO = len(X), len(W)
    if not (X.size and nO and has_blas()):
        return NotImplemented
    Z = np.empty((rows, nO), np.float32)
    Y = np.empty_like(Z) if keeps_input else Z
    arrays = (matrix(X), Z, Y) if keeps_input else (matrix(X), Z)
    _forward(activation, keeps_input)(
        rows, sgemm_address(), matrix(W), flat(b), *arrays, *_numbers(settings), **_work(rows, W.size)
    )
    return Y, Z


def backprop_affine_activation(
    dY: Any, X: Any, W: Any, saved: Any, *, activation: str, settings: Any, wants_dX: bool
) -> Any:
    if not (dY.size and X.size and has_blas()):
        return NotImplemented
    dZ, dX = np.empty(dY.shape, np.float32), _like(X, wants_dX)
    work = _work(len(X), W.size)
    db = sums(work["slices"], dY.shape[1])
    _backward(activation, wants_dX)(
        len(X), sgemm_address(), matrix(W), matrix(dY), matrix(saved), dZ, dX, db, *_numbers(settings), **work
    )
    return dX if wants_dX else None, multiply(dZ, True, X, False), added(db, dY.shape[1])


def affine_maxout(X: Any, W: Any, b: Any) -> Any:
    nO, P, nI = W.shape
    if P > LONGEST or not (X.size and b.size and has_blas()):
        return NotImplemented
    best, which = np.empty((len(X), nO), np.float32), np.empty((len(X), nO), np.int32)
    _maxout_forward(P)(
        len(X), sgemm_address(), matrix(X), matrix(W.reshape(nO * P, nI)), flat(b), best, which,
        **_work(len(X), W.size),
    )  # fmt: skip
    return best, which


def backprop_affine_maxout(dY: Any, X: Any, W: Any, which: Any, *, wants_dX: bool) -> Any:
    nO, P, nI = W.shape
    if P > LONGEST or not (dY.size and X.size and has_blas()):
        return NotImplemented
    dZ, dX = np.empty((len(dY), nO * P), np.float32), _like(X, wants_dX)
    work = _work(len(X), W.size)
    db = sums(work["slices"], P, nO)
    winners = matrix(which.astype(np.int32, copy=False))
    _maxout_backward(P, wants_dX)(
        len(dY), sgemm_address(), matrix(W.reshape(nO * P, nI)), matrix(dY), winners, dZ, dX, db, **work
    )
    dW = multiply(dZ, True, X, False).reshape(W.shape)
    return dX if wants_dX else None, dW, np.ascontiguousarray(added(db, nO).T)


def _like(X: Any, wanted: bool) -> Any:
    return np.empty(X.shape if wanted else (0, 0), np.float32)


def _work(rows: int, weights: int) -> dict[str, int]:
    # Short sums keep their digits: a slice has at most some hundred rows.
    return {"slices": slices_of(rows), "size": rows * weights}


def _numbers(settings: Any) -> list[Any]:
    return [value for _, value in settings]


FUSED: Mapping[str, Callable[..., Any]] = {
    "affine_activation": affine_activation,
    "backprop_affine_activation": backprop_affine_activation,
    "affine_maxout": affine_maxout,
    "backprop_affine_maxout": backprop_affine_maxout,
}
