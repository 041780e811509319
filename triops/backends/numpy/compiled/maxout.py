"""Maxout. The loop over pieces is written out for each number of pieces, so that the loop over entries
vectorises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat, floats
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.scalar import I, kept

__all__ = ["LONGEST", "MAXOUT", "backward", "forward"]

_THRESHOLD = 32_768  # entries from which a second thread pays
_INDEX = np.dtype(np.int32)
LONGEST = 8  # pieces that are written out


@cache
def forward(P: int) -> Kernel:
    """The best of each P entries, and which it was."""
    lines = [
        "def kernel(X, best, which):",
        "    for i in range(best.size):",
        f"        top = X[{P} * i]",
        "        index = I(0)",
    ]
    for p in range(1, P):
        lines += [
            f"        x = X[{P} * i + {p}]",
            "        better = (x > top) | ((x != x) & (top == top))",
            "        top = x if better else top",
            f"        index = I({p}) if better else index",
        ]
    lines += ["        best[i] = top", "        which[i] = index"]
    sliced = {"X": P, "best": 1, "which": 1}
    return Kernel((f"maxout_{P}", "\n".join(lines)), {"I": I}, sliced, threshold=_THRESHOLD)


@cache
def backward(P: int) -> Kernel:
    """Its gradient."""
    lines = [
        "def kernel(dY, which, dX):",
        "    for i in range(dY.size):",
        "        dy = dY[i]",
        "        index = which[i]",
        *(f"        dX[{P} * i + {p}] = kept(dy, index == I({p}))" for p in range(P)),
    ]
    sliced = {"dY": 1, "which": 1, "dX": P}
    return Kernel(
        (f"backprop_maxout_{P}", "\n".join(lines)), {"I": I, "kept": kept}, sliced, threshold=_THRESHOLD
    )


def maxout(X: Any) -> Any:
    P = X.shape[-1]
    if P > LONGEST:
        return NotImplemented
    shape = X.shape[:-1]
    best, which = floats(shape), np.empty(shape, _INDEX)
    forward(P).run(best.size, flat(X), best.ravel(), which.ravel())
    return best, which


def backprop_maxout(dY: Any, which: Any, *, P: int) -> Any:
    if P > LONGEST:
        return NotImplemented
    dX = floats((*dY.shape, P))
    winners = flat(which if which.dtype is _INDEX else which.astype(_INDEX))
    backward(P).run(dY.size, flat(dY), winners, dX.ravel())
    return dX


MAXOUT: Mapping[str, Callable[..., Any]] = {"maxout": maxout, "backprop_maxout": backprop_maxout}
