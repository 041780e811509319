"""Softmax along an axis or down the rows of sequences, and its logarithm."""

from __future__ import annotations

from triops.errors import ArgumentError, ShapeError
from triops.ops.lengths import LengthOps
from triops.types import Floats2d, FloatsXd, Ints1d

__all__ = ["SoftmaxOps"]


class SoftmaxOps(LengthOps):
    """softmax, log_softmax, softmax_sequences and their gradients."""

    def softmax(self, X: FloatsXd, axis: int = -1, temperature: float = 1.0) -> FloatsXd:
        """Y = exp(X/T) / Σ exp(X/T) along `axis`, T the temperature.

        X: any shape with at least one entry along `axis`. Returns Y: as X. A row without a finite largest
        entry gives NaN.
        """
        self._floats("softmax", "X", X)
        axis = self._axis("softmax", X, axis)
        self._temperature("softmax", temperature)
        Y: FloatsXd = self._kernels["softmax"](X, axis=axis, temperature=float(temperature))
        return Y

    def backprop_softmax(self, Y: FloatsXd, dY: FloatsXd, axis: int = -1, temperature: float = 1.0) -> FloatsXd:
        """dX = (Y dY - Y Σ Y dY) / T along `axis`.

        Y: the output of `softmax`, first as in Thinc. dY: as Y. Returns dX: as Y.
        """
        self._floats("backprop_softmax", "Y dY", Y, dY)
        self._shape("backprop_softmax", "dY", dY, Y.shape, "as Y")
        axis = self._axis("backprop_softmax", Y, axis)
        self._temperature("backprop_softmax", temperature)
        dX: FloatsXd = self._kernels["backprop_softmax"](dY, Y, axis=axis, temperature=float(temperature))
        return dX

    def softmax_sequences(self, Xs: Floats2d, lengths: Ints1d) -> Floats2d:
        """Y[start_n + t, j] = exp(Xs[start_n + t, j]) / Σₛ exp(Xs[start_n + s, j]), a softmax down the rows of
        each sequence, every column apart, without overflow.

        Xs: (T, W), the rows of N sequences one after another. lengths: (N,) integers of 0 or more that add up to
        T. Returns Y: (T, W). A column without a finite largest entry in a sequence gives NaN there. Half
        precision adds up in float32. Raises ShapeError for lengths that are negative or do not add up, where
        they lie on the host; elsewhere a sequence that reaches past the rows gives NaN, and rows past the last
        sequence give 0. Unlike Thinc, which takes whatever is beyond ±20 for ±20.
        """
        self._floats("softmax_sequences", "Xs", Xs)
        if Xs.ndim != 2:
            self._rank("softmax_sequences", "Xs", Xs, 2)
        self._lengths("softmax_sequences", lengths, Xs.shape[0])
        Y: Floats2d = self._kernels["softmax_sequences"](Xs, lengths)
        return Y

    def backprop_softmax_sequences(self, dY: Floats2d, Y: Floats2d, lengths: Ints1d) -> Floats2d:
        """dX = Y (dY - Σ Y dY), the sum down the rows of each sequence, every column apart.

        dY: (T, W). Y: the output of `softmax_sequences`, (T, W). lengths: as given to it. Returns dX: (T, W).
        """
        op = "backprop_softmax_sequences"
        self._floats(op, "dY Y", dY, Y)
        if dY.ndim != 2 or Y.shape != dY.shape:
            self._rank(op, "dY", dY, 2)
            self._shape(op, "Y", Y, dY.shape, "as dY")
        self._lengths(op, lengths, dY.shape[0])
        dX: Floats2d = self._kernels[op](dY, Y, lengths)
        return dX

    def log_softmax(self, X: FloatsXd, axis: int = -1) -> FloatsXd:
        """Y = X - log Σ exp X along `axis`, without overflow.

        X: any shape with at least one entry along `axis`. Returns Y: as X.
        """
        self._floats("log_softmax", "X", X)
        Y: FloatsXd = self._kernels["log_softmax"](X, axis=self._axis("log_softmax", X, axis))
        return Y

    def backprop_log_softmax(self, dY: FloatsXd, Y: FloatsXd, axis: int = -1) -> FloatsXd:
        """dX = dY - exp(Y) Σ dY along `axis`.

        dY: any shape. Y: the output of `log_softmax`, as dY. Returns dX: as dY.
        """
        self._floats("backprop_log_softmax", "dY Y", dY, Y)
        self._shape("backprop_log_softmax", "Y", Y, dY.shape, "as dY")
        axis = self._axis("backprop_log_softmax", dY, axis)
        dX: FloatsXd = self._kernels["backprop_log_softmax"](dY, Y, axis=axis)
        return dX

    def _axis(self, op: str, X: FloatsXd, axis: int) -> int:
        if not -X.ndim <= axis < X.ndim or X.shape[axis] == 0:
            raise ShapeError(
                f"{op}: axis must be one of X's with at least one entry, got axis {axis} for shape "
                f"{tuple(X.shape)}"
            )
        return axis % X.ndim

    def _temperature(self, op: str, temperature: float) -> None:
        if not temperature > 0:
            raise ArgumentError(f"{op}: temperature must be above 0, got {temperature}")
