"""The maximum of several pieces."""

from __future__ import annotations

from triops.errors import ArgumentError
from triops.ops.base import OpsBase
from triops.types import FloatsXd, IntsXd

__all__ = ["MaxoutOps"]


class MaxoutOps(OpsBase):
    """maxout and its gradient."""

    def maxout(self, X: FloatsXd) -> tuple[FloatsXd, IntsXd]:
        """best = maxₚ X[..., p], and which p it was; the first of equals.

        X: (..., P). Returns best: (...), and which: (...) int32, to give to `backprop_maxout`. A NaN wins.
        Goodfellow et al. 2013, Maxout Networks.
        """
        self._floats("maxout", "X", X)
        self._width("maxout", X)
        best, which = self._kernels["maxout"](X)
        return best, which

    def backprop_maxout(self, dY: FloatsXd, which: IntsXd, P: int) -> FloatsXd:
        """dX[..., p] = dY where p is `which`, else 0.

        dY: (...). which: (...) integers below P, from `maxout`. Returns dX: (..., P).
        """
        self._floats("backprop_maxout", "dY", dY)
        self._ints("backprop_maxout", "which", which)
        if which.shape != dY.shape:
            self._shape("backprop_maxout", "which", which, dY.shape, "as dY")
        if P < 1:
            raise ArgumentError(f"backprop_maxout: P must be 1 or more, got {P}")
        dX: FloatsXd = self._kernels["backprop_maxout"](dY, which, P=P)
        return dX
