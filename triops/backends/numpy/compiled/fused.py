"""A matrix product with what follows it, while a slice of it is in the nearest caches: the bias with an
activation or with maxout, and backwards the gradients of both and of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import added, flat, floats, matrix, sums
from triops.backends.numpy.compiled.blocks import THRESHOLD, block_kernel, in_blocks, reads_as_it_lies
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.elementwise import FORMS
from triops.backends.numpy.compiled.integers import PLACE_IN_32_BITS
from triops.backends.numpy.compiled.maxout import LONGEST
from triops.backends.numpy.compiled.products import multiply, slices_of, times
from triops.backends.numpy.compiled.scalar import I, kept
from triops.backends.numpy.compiled.scratch import empty
from triops.backends.numpy.compiled.tiles import FEW

__all__ = ["FUSED"]

_TIMES_W: Mapping[bool, tuple[str, ...]] = {True: ("times(dZ, W, dX)",), False: ()}
_DX: Mapping[bool, tuple[str, ...]] = {True: ("dX",), False: ()}


@cache
def _forward(activation: str, keeps_input: bool) -> Kernel:
    form = FORMS[activation]
    after = [
        "for i in range(first, end):",
        "    z, bias = Z[i, left:right], b[left:right]",
        f"    y = {'Y[i, left:right]' if keeps_input else 'z'}",
        "    for j in range(z.shape[0]):",
        "        x = z[j] + bias[j]",
        *(["        z[j] = x"] if keeps_input else []),
        f"        y[j] = function({', '.join(('x', *form.settings))})",
    ]
    given = ", ".join(("b", "Z", "Y", *form.settings))
    target = "at(Z, first * Z.shape[1] + left)", "Z.shape[1]"
    return block_kernel(f"affine_{activation}", given, target, after, {"function": form.function})


@cache
def _backward(activation: str, wants_dX: bool) -> Kernel:
    form = FORMS[f"backprop_{activation}"]
    lines = [
        "for i in range(dZ.shape[0]):",
        "    for j in range(dZ.shape[1]):",
        f"        dz = function({', '.join(('dY[i, j]', 'saved[i, j]', *form.settings))})",
        "        dZ[i, j] = dz",
        "        db[part, j] += dz",
    ]
    given = ", ".join(("W", "dY", "saved", "dZ", "dX", "db", *form.settings, "part"))
    names = {"function": form.function}
    return _row_kernel(f"backprop_affine_{activation}", given, lines, names, wants_dX, "dY", "saved", "dZ")


@cache
def _maxout_forward(P: int) -> Kernel:
    after = [
        "for i in range(first, end):",
        "    z, bias = Z[i - first], b[left:right]",
        *(
            f"    {row} = {array}[i, left // {P} : right // {P}]"
            for row, array in (("top", "best"), ("index", "which"))
        ),
        "    for j in range(top.shape[0]):",
        f"        most = z[{P} * j] + bias[{P} * j]",
        "        place = I(0)",
    ]
    for p in range(1, P):
        after += [
            f"        x = z[{P} * j + {p}] + bias[{P} * j + {p}]",
            "        better = (x > most) | ((x != x) & (most == most))",
            "        most = x if better else most",
            f"        place = I({p}) if better else place",
        ]
    after += ["        top[j] = most", "        index[j] = place"]
    # In the nearest caches, until it is reduced.
    scratch = "Z = empty((end - first, right - left))"
    return block_kernel(
        f"affine_maxout_{P}", "b, best, which", ("at(Z, 0)", "right - left"), after,
        {"I": I, "empty": empty}, before=scratch,
    )  # fmt: skip


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
    ]
    given, names = "W, dY, which, dZ, dX, db, part", {"I": I, "kept": kept}
    return _row_kernel(f"backprop_affine_maxout_{P}", given, lines, names, wants_dX, "dY", "which", "dZ")


def _row_kernel(
    name: str, given: str, lines: list[str], names: Mapping[str, Any], wants_dX: bool, *sliced: str
) -> Kernel:
    """Rows of dZ from those of dY, and of dX where it is wanted."""
    source = "\n".join([f"def kernel({given}):", *(f"    {line}" for line in (*lines, *_TIMES_W[wants_dX]))])
    slices = dict.fromkeys((*sliced, *_DX[wants_dX]), 1)
    return Kernel((name, source), {**names, "times": times}, slices, threshold=THRESHOLD, grain=FEW)


def affine_activation(X: Any, W: Any, b: Any, *, activation: str, settings: Any, keeps_input: bool) -> Any:
    if not (X.size and W.size):
        return NotImplemented
    Z = floats((len(X), len(W)))
    Y = floats(Z.shape) if keeps_input else Z
    in_blocks(
        _forward(activation, keeps_input), matrix(X), matrix(W), flat(b), Z, Y,
        *_numbers(settings), columns=len(W),
    )  # fmt: skip
    return Y, Z


def backprop_affine_activation(
    dY: Any, X: Any, W: Any, saved: Any, *, activation: str, settings: Any, wants_dX: bool
) -> Any:
    if not (dY.size and X.size):
        return NotImplemented
    fused = wants_dX and reads_as_it_lies(*W.shape)
    dZ, dX = floats(dY.shape), _like(X, fused)
    slices = slices_of(len(X))
    db = sums(slices, dY.shape[1])
    _backward(activation, fused).run(
        len(X), matrix(W), matrix(dY), matrix(saved), dZ, dX, db, *_numbers(settings),
        slices=slices, size=len(X) * W.size,
    )  # fmt: skip
    if wants_dX and not fused:
        dX = multiply(dZ, False, W, False)
    return dX if wants_dX else None, multiply(dZ, True, X, False), added(db, dY.shape[1])


def affine_maxout(X: Any, W: Any, b: Any) -> Any:
    nO, P, nI = W.shape
    if P > LONGEST or not (X.size and b.size):
        return NotImplemented
    best, which = floats((len(X), nO)), np.empty((len(X), nO), PLACE_IN_32_BITS)
    in_blocks(
        _maxout_forward(P), matrix(X), matrix(W.reshape(nO * P, nI)), flat(b), best, which,
        columns=nO * P, unit=P,
    )  # fmt: skip
    return best, which


def backprop_affine_maxout(dY: Any, X: Any, W: Any, which: Any, *, wants_dX: bool) -> Any:
    nO, P, nI = W.shape
    if P > LONGEST or not (dY.size and X.size):
        return NotImplemented
    fused = wants_dX and reads_as_it_lies(nO * P, nI)
    dZ, dX = floats((len(dY), nO * P)), _like(X, fused)
    slices = slices_of(len(X))
    db = sums(slices, P, nO)
    winners = matrix(which if which.dtype is PLACE_IN_32_BITS else which.astype(PLACE_IN_32_BITS))
    W = matrix(W.reshape(nO * P, nI))
    _maxout_backward(P, fused).run(
        len(dY), W, matrix(dY), winners, dZ, dX, db, slices=slices, size=len(X) * W.size
    )
    if wants_dX and not fused:
        dX = multiply(dZ, False, W, False)
    dW = multiply(dZ, True, X, False).reshape(nO, P, nI)
    return dX if wants_dX else None, dW, added(db, nO).T.copy()


def _numbers(settings: tuple[tuple[str, float], ...]) -> tuple[float, ...]:
    return tuple(number for _, number in settings) if settings else ()


def _like(X: Any, wanted: bool) -> Any:
    return floats(X.shape if wanted else (0, 0))


FUSED: Mapping[str, Callable[..., Any]] = {
    "affine_activation": affine_activation,
    "backprop_affine_activation": backprop_affine_activation,
    "affine_maxout": affine_maxout,
    "backprop_affine_maxout": backprop_affine_maxout,
}
