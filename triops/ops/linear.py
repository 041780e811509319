"""Matrix products, and sums."""

from __future__ import annotations

from triops.errors import ShapeError
from triops.ops.base import OpsBase
from triops.types import Floats1d, Floats2d, Floats3d, FloatsXd

__all__ = ["LinearOps"]


class LinearOps(OpsBase):
    """add, gemm, batched_gemm, affine and its gradients."""

    def add(self, X: FloatsXd, Y: FloatsXd) -> FloatsXd:
        """Z = X + Y.

        X, Y: one shape. Returns Z: that shape.
        """
        self._floats("add", "X Y", X, Y)
        self._shape("add", "Y", Y, X.shape, "as X")
        Z: FloatsXd = self._kernels["add"](X, Y)
        return Z

    def gemm(self, X: Floats2d, Y: Floats2d, trans1: bool = False, trans2: bool = False) -> Floats2d:
        """Matrix product Z = X Y, either factor transposed on the way.

        X: (M, K), or (K, M) with trans1. Y: (K, N), or (N, K) with trans2. Returns Z: (M, N).
        An empty K gives zeros. float32 is computed in float32 on every backend (no tf32).
        """
        self._floats("gemm", "X Y", X, Y)
        if X.ndim != 2 or Y.ndim != 2 or X.shape[not trans1] != Y.shape[bool(trans2)]:
            raise ShapeError(
                f"gemm: X and Y must be matrices that share their inner dimension, got X "
                f"{tuple(X.shape)}{' transposed' * trans1} and Y {tuple(Y.shape)}"
                f"{' transposed' * trans2}: transpose one with trans1 or trans2, or check the widths"
            )
        Z: Floats2d = self._kernels["gemm"](X, Y, trans1=bool(trans1), trans2=bool(trans2))
        return Z

    def batched_gemm(self, X: Floats3d, Y: Floats3d, trans1: bool = False, trans2: bool = False) -> Floats3d:
        """Z[b] = X[b] Y[b], either factor transposed on the way, as `gemm` does one.

        X: (B, M, K), or (B, K, M) with trans1. Y: (B, K, N), or (B, N, K) with trans2. Returns Z: (B, M, N).
        """
        self._floats("batched_gemm", "X Y", X, Y)
        if (
            X.ndim != 3
            or Y.ndim != 3
            or X.shape[0] != Y.shape[0]
            or X.shape[1 if trans1 else 2] != Y.shape[2 if trans2 else 1]
        ):
            raise ShapeError(
                f"batched_gemm: X and Y must be equally long stacks of matrices that share their inner "
                f"dimension, got X {tuple(X.shape)}{' transposed' * bool(trans1)} and Y {tuple(Y.shape)}"
                f"{' transposed' * bool(trans2)}: transpose one with trans1 or trans2, or check the shapes"
            )
        Z: Floats3d = self._kernels["batched_gemm"](X, Y, trans1=bool(trans1), trans2=bool(trans2))
        return Z

    def affine(self, X: Floats2d, W: Floats2d, b: Floats1d) -> Floats2d:
        """Y = X Wᵀ + b.

        X: (N, nI). W: (nO, nI). b: (nO,). Returns Y: (N, nO).
        """
        self._floats("affine", "X W b", X, W, b)
        if X.ndim != 2 or W.ndim != 2 or X.shape[1] != W.shape[1]:
            raise ShapeError(
                f"affine: X (N, nI) and W (nO, nI) must agree in nI, got X {tuple(X.shape)} and W "
                f"{tuple(W.shape)}"
            )
        self._shape("affine", "b", b, (W.shape[0],), "one for each row of W")
        Y: Floats2d = self._kernels["affine"](X, W, b)
        return Y

    def backprop_affine(
        self, dY: Floats2d, X: Floats2d, W: Floats2d, *, wants_dX: bool = True
    ) -> tuple[Floats2d | None, Floats2d, Floats1d]:
        """dX = dY W, dW = dYᵀ X, db = Σ dY over the rows.

        dY: (N, nO). X: (N, nI). W: (nO, nI). Returns dX: (N, nI), None unless wants_dX, dW: (nO, nI), db: (nO,).
        """
        op = "backprop_affine"
        self._floats(op, "dY X W", dY, X, W)
        self._gradient_of_affine(op, dY, X, W)
        dX, dW, db = self._kernels[op](dY, X, W, wants_dX=bool(wants_dX))
        return dX, dW, db

    def _gradient_of_affine(self, op: str, dY: Floats2d, X: Floats2d, W: Floats2d) -> None:
        if dY.ndim == X.ndim == 2 and X.shape[0] == dY.shape[0] and W.shape == (dY.shape[1], X.shape[1]):
            return
        self._rank(op, "dY", dY, 2)
        self._rank(op, "X", X, 2)
        self._shape(op, "X", X, (dY.shape[0], X.shape[1]), "a row for each of dY")
        self._shape(op, "W", W, (dY.shape[1], X.shape[1]), "from the columns of X to those of dY")
