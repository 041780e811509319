"""Losses of rows of probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import floats, matrix
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.integers import wide
from triops.backends.numpy.compiled.scalar import F

__all__ = ["LOSSES"]

_THRESHOLD = 32_768  # entries from which a second thread pays
_TINY = F(np.finfo(np.float32).tiny)


def label_rows(Y: Any, labels: Any, losses: Any, dX: Any, scale: Any) -> None:
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            dX[i, j] = Y[i, j] * scale
        y = Y[i, labels[i]]
        dX[i, labels[i]] = (y - F(1)) * scale
        losses[i] = -F(math.log(_TINY if y < _TINY else y))


_label = Kernel(
    label_rows, globals(), dict.fromkeys(("Y", "labels", "losses", "dX"), 1), threshold=_THRESHOLD, grain=1
)


def label_cross_entropy(Y: Any, labels: Any, scale: float) -> tuple[Any, Any]:
    losses, dX = floats(len(Y)), floats(Y.shape)
    _label.run(len(Y), matrix(Y), wide(labels), losses, dX, scale, size=Y.size)
    return losses, dX


LOSSES: Mapping[str, Callable[..., Any]] = {"label_cross_entropy": label_cross_entropy}
