"""What follows a matrix product, in one pass over it: the bias with an activation or with maxout, and backwards
the gradient with that of the bias."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat, matrix
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.elementwise import FORMS
from triops.backends.numpy.compiled.maxout import LONGEST
from triops.backends.numpy.compiled.scalar import F, I, kept

__all__ = ["FUSED"]

_THRESHOLD = 32_768  # entries from which a second thread pays


def _kernel(name: str, head: str, lines: list[str], names: Mapping[str, Any], *sliced: str) -> Kernel:
    source = "\n".join([f"def kernel({head}):", *(f"    {line}" for line in lines)])
    return Kernel((name, source), names, dict.fromkeys(sliced, 1), threshold=_THRESHOLD, grain=1)


@cache
def _forward(activation: str, keeps_input: bool) -> Kernel:
    form = FORMS[activation]
    lines = [
        "for i in range(Z.shape[0]):",
        "    for j in range(Z.shape[1]):",
        "        z = Z[i, j] + b[j]",
        *(["        Z[i, j] = z"] if keeps_input else []),
        f"        {'Y' if keeps_input else 'Z'}[i, j] = function({', '.join(('z', *form.settings))})",
    ]
    arrays = ("Z", "b", "Y") if keeps_input else ("Z", "b")
    head = ", ".join((*arrays, *form.settings))
    return _kernel(f"bias_{activation}", head, lines, {"function": form.function}, *arrays[::2])


@cache
def _backward(activation: str) -> Kernel:
    form = FORMS[f"backprop_{activation}"]
    lines = [
        "for i in range(dZ.shape[0]):",
        "    for j in range(dZ.shape[1]):",
        f"        dz = function({', '.join(('dY[i, j]', 'saved[i, j]', *form.settings))})",
        "        dZ[i, j] = dz",
        "        db[part, j] += dz",
    ]
    head = ", ".join(("dY", "saved", "dZ", "db", *form.settings, "part"))
    names = {"function": form.function}
    return _kernel(f"backprop_bias_{activation}", head, lines, names, "dY", "saved", "dZ")


@cache
def _maxout_forward(P: int) -> Kernel:
    lines = [
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
    return _kernel(f"bias_maxout_{P}", "Z, b, best, which", lines, {"I": I}, "Z", "best", "which")


@cache
def _maxout_backward(P: int) -> Kernel:
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
    ]
    names = {"I": I, "kept": kept}
    return _kernel(f"backprop_bias_maxout_{P}", "dY, which, dZ, db, part", lines, names, "dY", "which", "dZ")


def affine_activation(X: Any, W: Any, b: Any, *, activation: str, settings: Any, keeps_input: bool) -> Any:
    Z = np.matmul(X, W.T)
    if not Z.size:
        return NotImplemented
    Y = np.empty_like(Z) if keeps_input else Z
    arrays = (Z, flat(b), Y) if keeps_input else (Z, flat(b))
    _forward(activation, keeps_input)(len(Z), *arrays, *_numbers(settings), size=Z.size)
    return Y, Z


def backprop_affine_activation(dY: Any, X: Any, W: Any, saved: Any, *, activation: str, settings: Any) -> Any:
    if not dY.size:
        return NotImplemented
    dZ, slices = np.empty(dY.shape, np.float32), _slices(dY)
    db = np.zeros((slices, dY.shape[1]), np.float32)
    _backward(activation)(
        len(dY), matrix(dY), matrix(saved), dZ, db, *_numbers(settings), slices=slices, size=dY.size
    )
    return np.matmul(dZ, W), np.matmul(dZ.T, X), db.sum(axis=0)


def affine_maxout(X: Any, W: Any, b: Any) -> Any:
    nO, P, nI = W.shape
    if P > LONGEST or not X.size or not b.size:
        return NotImplemented
    Z = np.matmul(X, W.reshape(nO * P, nI).T)
    best, which = np.empty((len(X), nO), np.float32), np.empty((len(X), nO), np.int32)
    _maxout_forward(P)(len(X), Z, flat(b), best, which, size=best.size)
    return best, which


def backprop_affine_maxout(dY: Any, X: Any, W: Any, which: Any) -> Any:
    nO, P, nI = W.shape
    if P > LONGEST or not dY.size or not X.size:
        return NotImplemented
    dZ, slices = np.empty((len(dY), nO * P), np.float32), _slices(dY)
    db = np.zeros((slices, P, nO), np.float32)
    winners = matrix(which.astype(np.int32, copy=False))
    _maxout_backward(P)(len(dY), matrix(dY), winners, dZ, db, slices=slices, size=dY.size)
    dW = np.matmul(dZ.T, X).reshape(W.shape)
    return np.matmul(dZ, W.reshape(nO * P, nI)), dW, np.ascontiguousarray(db.sum(axis=0).T)


def _slices(dY: Any) -> int:
    # Short sums keep their digits: a slice has at most some hundred rows.
    return max(1, min(64, len(dY) // 64))


def _numbers(settings: Any) -> list[Any]:
    return [F(value) for _, value in settings]


FUSED: Mapping[str, Callable[..., Any]] = {
    "affine_activation": affine_activation,
    "backprop_affine_activation": backprop_affine_activation,
    "affine_maxout": affine_maxout,
    "backprop_affine_maxout": backprop_affine_maxout,
}
