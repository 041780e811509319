"""Normalisation of rows."""

from __future__ import annotations

from triops.errors import ArgumentError
from triops.ops.base import OpsBase
from triops.types import Floats1d, FloatsXd

__all__ = ["NormalizationOps"]


class NormalizationOps(OpsBase):
    """layer_norm, rms_norm and their gradients."""

    def layer_norm(
        self, X: FloatsXd, G: Floats1d, b: Floats1d, eps: float = 1e-8
    ) -> tuple[FloatsXd, FloatsXd, FloatsXd]:
        """Y = (X - μ) rstd G + b, with μ the mean of a row and rstd = 1/√(variance + eps).

        X: (..., nI). G, b: (nI,). Returns Y: (..., nI), and μ and rstd: (..., 1), to give to
        `backprop_layer_norm`. Ba, Kiros and Hinton 2016, Layer Normalization.
        """
        self._floats("layer_norm", "X G b", X, G, b)
        if not X.shape[-1:] == G.shape == b.shape != (0,) or not X.ndim:
            self._width("layer_norm", X)
            self._shape("layer_norm", "G", G, X.shape[-1:], "one for each column of X")
            self._shape("layer_norm", "b", b, X.shape[-1:], "one for each column of X")
        if not eps >= 0:
            raise ArgumentError(f"layer_norm: eps must be 0 or more, got {eps}")
        Y, mu, rstd = self._kernels["layer_norm"](X, G, b, eps=float(eps))
        return Y, mu, rstd

    def backprop_layer_norm(
        self, dY: FloatsXd, X: FloatsXd, mu: FloatsXd, rstd: FloatsXd, G: Floats1d
    ) -> tuple[FloatsXd, Floats1d, Floats1d]:
        """With X̂ = (X - μ) rstd and g = dY G: dX = rstd (g - mean g - X̂ mean(g X̂)), dG = Σ dY X̂,
        db = Σ dY; means over a row, sums over all rows.

        dY, X: (..., nI). mu, rstd: (..., 1), from `layer_norm`. G: (nI,). Returns dX: (..., nI), dG and
        db: (nI,).
        """
        self._floats("backprop_layer_norm", "dY X mu rstd G", dY, X, mu, rstd, G)
        self._normalized("backprop_layer_norm", dY, X, rstd, G)
        if mu.shape != rstd.shape:
            self._shape("backprop_layer_norm", "mu", mu, rstd.shape, "one for each row of dY")
        dX, dG, db = self._kernels["backprop_layer_norm"](dY, X, mu, rstd, G)
        return dX, dG, db

    def rms_norm(self, X: FloatsXd, G: Floats1d, eps: float = 1e-8) -> tuple[FloatsXd, FloatsXd]:
        """Y = X rstd G, with rstd = 1/√(mean(X²) + eps) of a row.

        X: (..., nI). G: (nI,). Returns Y: (..., nI), and rstd: (..., 1), to give to `backprop_rms_norm`. Zhang
        and Sennrich 2019, Root Mean Square Layer Normalization.
        """
        self._floats("rms_norm", "X G", X, G)
        if not X.shape[-1:] == G.shape != (0,) or not X.ndim:
            self._width("rms_norm", X)
            self._shape("rms_norm", "G", G, X.shape[-1:], "one for each column of X")
        if not eps >= 0:
            raise ArgumentError(f"rms_norm: eps must be 0 or more, got {eps}")
        Y, rstd = self._kernels["rms_norm"](X, G, eps=float(eps))
        return Y, rstd

    def backprop_rms_norm(
        self, dY: FloatsXd, X: FloatsXd, rstd: FloatsXd, G: Floats1d
    ) -> tuple[FloatsXd, Floats1d]:
        """With X̂ = X rstd and g = dY G: dX = rstd (g - X̂ mean(g X̂)), dG = Σ dY X̂; the mean over a row, the
        sum over all rows.

        dY, X: (..., nI). rstd: (..., 1), from `rms_norm`. G: (nI,). Returns dX: (..., nI), dG: (nI,).
        """
        self._floats("backprop_rms_norm", "dY X rstd G", dY, X, rstd, G)
        self._normalized("backprop_rms_norm", dY, X, rstd, G)
        dX, dG = self._kernels["backprop_rms_norm"](dY, X, rstd, G)
        return dX, dG

    def _normalized(self, op: str, dY: FloatsXd, X: FloatsXd, rstd: FloatsXd, G: Floats1d) -> None:
        shape = dY.shape
        column = (*shape[:-1], 1)
        if X.shape == shape and rstd.shape == column and shape[-1:] == G.shape != (0,) and shape:
            return
        self._width(op, dY)
        self._shape(op, "X", X, shape, "as dY")
        self._shape(op, "rstd", rstd, column, "one for each row of dY")
        self._shape(op, "G", G, shape[-1:], "one for each column of dY")
