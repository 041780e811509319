"""A matrix product with what follows it, while a slice of it is in the nearest caches: the bias with an
activation or with maxout, and backwards the gradients of both and of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import added, flat, floats, matrix, sums, zeros
from triops.backends.numpy.compiled.blocks import (
    THRESHOLD,
    block_kernel,
    in_blocks,
    one_block_kernel,
    reads_as_it_lies,
    times,
)
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.elementwise import FORMS
from triops.backends.numpy.compiled.gradients import gradient_kernel, is_small
from triops.backends.numpy.compiled.integers import PLACE_IN_32_BITS
from triops.backends.numpy.compiled.maxout import LONGEST
from triops.backends.numpy.compiled.products import multiply, slices_of
from triops.backends.numpy.compiled.scalar import I, kept
from triops.backends.numpy.compiled.scratch import empty
from triops.backends.numpy.compiled.tiles import FEW

__all__ = ["FUSED", "backward_few", "forward_few", "maxout_backward_few", "maxout_forward_few"]

_TIMES_W: Mapping[bool, tuple[str, ...]] = {True: ("times(dZ, W, dX)",), False: ()}
_DX: Mapping[bool, tuple[str, ...]] = {True: ("dX",), False: ()}


def _forward_lines(activation: str, keeps_input: bool) -> tuple[Any, ...]:
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
    return f"affine_{activation}", given, target, after, {"function": form.function}


@cache
def _forward(activation: str, keeps_input: bool) -> Kernel:
    return block_kernel(*_forward_lines(activation, keeps_input))


@cache
def forward_few(activation: str, keeps_input: bool) -> Kernel:
    """A small layer in a direct call: the same, to the last bit, as one block."""
    return one_block_kernel(*_forward_lines(activation, keeps_input))


@cache
def backward_few(activation: str, wants_dX: bool) -> Kernel:
    """All of a small layer's gradient. It returns 1 where tiles had better have copies."""
    form = FORMS[f"backprop_{activation}"]
    given = ", ".join(("saved", *_DX[wants_dX], "dW", "db", *form.settings))
    dz = f"function({', '.join(('dY[i, j]', 'saved[i, j]', *form.settings))})"
    lines = [
        "dZ = empty(dY.shape)",
        "for i in range(dY.shape[0]):",
        "    for j in range(dY.shape[1]):",
        f"        dZ[i, j] = {dz}",
        "        db[j] += dZ[i, j]",
    ]
    return gradient_kernel(
        f"backprop_affine_{activation}", given, lines, {"function": form.function}, wants_dX=wants_dX
    )


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


def _maxout_lines(P: int) -> tuple[Any, ...]:
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
    target = "at(Z, 0)", "right - left"
    return f"affine_maxout_{P}", "b, best, which", target, after, {"I": I, "empty": empty}


# In the nearest caches, until it is reduced.
_PRODUCT_OF_ROWS = "Z = empty((end - first, right - left))"


@cache
def _maxout_forward(P: int) -> Kernel:
    return block_kernel(*_maxout_lines(P), before=_PRODUCT_OF_ROWS)


@cache
def maxout_forward_few(P: int) -> Kernel:
    """A small layer in a direct call: the same, to the last bit, as one block."""
    return one_block_kernel(*_maxout_lines(P), before=_PRODUCT_OF_ROWS)


@cache
def maxout_backward_few(P: int, wants_dX: bool) -> Kernel:
    """All of a small layer's gradient. It returns 1 where tiles had better have copies."""
    lines = [
        f"dZ = empty((dY.shape[0], {P} * dY.shape[1]))",
        "for i in range(dY.shape[0]):",
        "    for j in range(dY.shape[1]):",
        *(
            line
            for p in range(P)
            for line in (
                f"        dz_{p} = kept(dY[i, j], which[i, j] == I({p}))",
                f"        dZ[i, {P} * j + {p}] = dz_{p}",
                f"        db[{P} * j + {p}] += dz_{p}",
            )
        ),
    ]
    given = ", ".join(("which", *_DX[wants_dX], "dW", "db"))
    return gradient_kernel(f"backprop_affine_maxout_{P}", given, lines, {"I": I, "kept": kept}, wants_dX=wants_dX)


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
    if is_small(X, W):
        dW, db, given = floats(W.shape), zeros(len(W)), [matrix(each) for each in (dY, X, W, saved)]
        dX = [floats(X.shape)] if wants_dX else []
        backward_few(activation, wants_dX).run(len(X), *given, *dX, dW, db, *_numbers(settings), slices=1)
        return dX[0] if wants_dX else None, dW, db
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
    winners = matrix(which if which.dtype is PLACE_IN_32_BITS else which.astype(PLACE_IN_32_BITS))
    W = matrix(W.reshape(nO * P, nI))
    if is_small(X, W):
        dW, db, given = floats((nO, P, nI)), zeros((nO, P)), [matrix(dY), matrix(X), W, winners]
        dX = [floats(X.shape)] if wants_dX else []
        maxout_backward_few(P, wants_dX).run(len(X), *given, *dX, dW.reshape(W.shape), db.ravel(), slices=1)
        return dX[0] if wants_dX else None, dW, db
    fused = wants_dX and reads_as_it_lies(nO * P, nI)
    dZ, dX = floats((len(dY), nO * P)), _like(X, fused)
    slices = slices_of(len(X))
    db = sums(slices, P, nO)
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
