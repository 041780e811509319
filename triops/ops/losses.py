"""Losses by row or entry, with their gradients."""

from __future__ import annotations

from triops.errors import ShapeError
from triops.ops.base import OpsBase
from triops.types import Floats1d, Floats2d, FloatsXd, Ints1d

__all__ = ["LossOps"]


class LossOps(OpsBase):
    """cross_entropy, label_cross_entropy, logloss and cosine_distance."""

    def cross_entropy(self, X: Floats2d, T: Floats2d) -> tuple[Floats1d, Floats2d]:
        """losses[n] = -Σ T[n] log softmax(X[n]), in nats, and the gradient dX = softmax(X) Σ T - T of their
        sum.

        X: (N, C) logits. T: (N, C) target probabilities; a row of zeros has no loss and no gradient, which
        is how a missing label is masked. Returns losses: (N,), dX: (N, C).
        """
        self._floats("cross_entropy", "X T", X, T)
        self._rank("cross_entropy", "X", X, 2)
        self._shape("cross_entropy", "T", T, X.shape, "as X")
        self._width("cross_entropy", X)
        losses, dX = self._kernels["cross_entropy"](X, T)
        return losses, dX

    def label_cross_entropy(self, Y: Floats2d, labels: Ints1d, scale: float = 1.0) -> tuple[Floats1d, Floats2d]:
        """losses[n] = -log Y[n, labels[n]], in nats, and the gradient dX = scale (Y - T) of their sum, times
        scale, by the logits that Y is the softmax of; T[n] is 1 at labels[n], and 0 elsewhere.

        Y: (N, C) probabilities; the loss of one below the smallest normal number is that number's. labels: (N,)
        integers from 0 to C-1. Returns losses: (N,), dX: (N, C). Raises ShapeError for a label out of range,
        where they lie on the host.
        """
        op = "label_cross_entropy"
        self._floats(op, "Y", Y)
        self._ints(op, "labels", labels)
        if Y.ndim != 2 or labels.shape != Y.shape[:1]:
            self._rank(op, "Y", Y, 2)
            self._shape(op, "labels", labels, (Y.shape[0],), "one for each row of Y")
        if labels.shape[0] and self.can_look(labels):
            lowest, highest, _ = self._extremes(labels)
            if lowest < 0 or highest >= Y.shape[1]:
                raise ShapeError(
                    f"{op}: labels must be from 0 to {Y.shape[1] - 1}, the columns of Y, got "
                    f"{lowest if lowest < 0 else highest}"
                )
        losses, dX = self._kernels[op](Y, labels, float(scale))
        return losses, dX

    def logloss(self, y_true: FloatsXd, y_pred: FloatsXd) -> FloatsXd:
        """losses = -(t log(p + 1e-8) + (1 - t) log(1 - p + 1e-8)), in nats, with t and p for y_true and y_pred.
        As in Thinc: one for each entry, not summed.

        y_true, y_pred: any shape, probabilities from 0 to 1. Returns losses: as y_true. In float16 the 1e-8 is
        0, and a wrong certainty costs infinity.
        """
        self._floats("logloss", "y_true y_pred", y_true, y_pred)
        self._shape("logloss", "y_pred", y_pred, y_true.shape, "as y_true")
        losses: FloatsXd = self._kernels["logloss"](y_true, y_pred)
        return losses

    def cosine_distance(self, X: Floats2d, T: Floats2d) -> tuple[Floats1d, Floats2d]:
        """losses[n] = 1 - cos with cos = X[n]·T[n] / (‖X[n]‖ ‖T[n]‖), and the gradient of their sum,
        dX[n] = (cos X[n]/‖X[n]‖ - T[n]/‖T[n]‖) / ‖X[n]‖.

        X, T: (N, nI). Where either is a row of zeros, which has no direction, cos and the gradient are 0. Returns
        losses: (N,), dX: (N, nI).
        """
        self._floats("cosine_distance", "X T", X, T)
        self._rank("cosine_distance", "X", X, 2)
        self._shape("cosine_distance", "T", T, X.shape, "as X")
        self._width("cosine_distance", X)
        losses, dX = self._kernels["cosine_distance"](X, T)
        return losses, dX
