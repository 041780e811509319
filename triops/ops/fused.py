"""An affine map together with what follows it: as the two ops after each other, in fewer passes over memory."""

from __future__ import annotations

from triops.errors import ShapeError
from triops.ops.activations import GRADIENT_READS, ActivationOps, form_of
from triops.ops.linear import LinearOps
from triops.types import Floats2d, Floats3d, FloatsXd, Ints2d

__all__ = ["FusedOps"]


class FusedOps(LinearOps, ActivationOps):
    """affine with an activation, affine with maxout, and their gradients."""

    def affine_activation(
        self, X: Floats2d, W: Floats2d, b: FloatsXd, activation: str, **settings: float
    ) -> tuple[Floats2d, Floats2d]:
        """Y = f(X Wᵀ + b), with f the op that `activation` names.

        X: (N, nI). W: (nO, nI). b: (nO,). activation: "relu", "gelu", ..., any op with a gradient in one array.
        settings: what that op takes beside its array, such as alpha for "elu". Returns Y: (N, nO), and what
        `backprop_affine_activation` reads: Y, or X Wᵀ + b: (N, nO).
        """
        op = "affine_activation"
        self._floats(op, "X W b", X, W, b)
        if not (X.ndim == W.ndim == 2 and W.shape[1] == X.shape[1] and b.shape == W.shape[:1]):
            self._rank(op, "X", X, 2)
            self._rank(op, "W", W, 2)
            self._shape(op, "W", W, (W.shape[0], X.shape[1]), "a column for each of X")
            self._shape(op, "b", b, (W.shape[0],), "one for each row of W")
        name, numbers = form_of(op, activation, settings)
        Y, saved = self._kernels[op](
            X, W, b, activation=name, settings=numbers, keeps_input=GRADIENT_READS[activation] == "X"
        )
        return Y, saved

    def backprop_affine_activation(
        self,
        dY: Floats2d,
        X: Floats2d,
        W: Floats2d,
        saved: Floats2d,
        activation: str,
        *,
        wants_dX: bool = True,
        **settings: float,
    ) -> tuple[Floats2d | None, Floats2d, FloatsXd]:
        """With dZ = dY f'(X Wᵀ + b): dX = dZ W, dW = dZᵀ X, db = Σ dZ over the rows.

        dY, saved: (N, nO), the second from `affine_activation`. X: (N, nI). W: (nO, nI). activation, settings:
        as given forward. Returns dX: (N, nI), None unless wants_dX, dW: (nO, nI), db: (nO,).
        """
        op = "backprop_affine_activation"
        self._floats(op, "dY X W saved", dY, X, W, saved)
        self._gradient_of_affine(op, dY, X, W)
        if saved.shape != dY.shape:
            self._shape(op, "saved", saved, dY.shape, "as dY")
        name, numbers = form_of(op, activation, settings)
        dX, dW, db = self._kernels[op](
            dY, X, W, saved, activation=name, settings=numbers, wants_dX=bool(wants_dX)
        )
        return dX, dW, db

    def affine_maxout(self, X: Floats2d, W: Floats3d, b: Floats2d) -> tuple[Floats2d, Ints2d]:
        """Y = maxₚ (X Wₚᵀ + bₚ), and which p it was, as `maxout` says. Goodfellow et al. 2013, Maxout Networks.

        X: (N, nI). W: (nO, nP, nI). b: (nO, nP). Returns Y: (N, nO), and which: (N, nO) int32, to give to
        `backprop_affine_maxout`.
        """
        op = "affine_maxout"
        self._floats(op, "X W b", X, W, b)
        if X.ndim != 2:
            self._rank(op, "X", X, 2)
        self._pieces(op, X, W)
        if b.shape != W.shape[:2]:
            self._shape(op, "b", b, W.shape[:2], "one for each row of W")
        Y, which = self._kernels[op](X, W, b)
        return Y, which

    def backprop_affine_maxout(
        self, dY: Floats2d, X: Floats2d, W: Floats3d, which: Ints2d, *, wants_dX: bool = True
    ) -> tuple[Floats2d | None, Floats3d, Floats2d]:
        """With dZ = dY for the pieces that won and 0 for the others: dX = dZ W, dW = dZᵀ X, db = Σ dZ over the
        rows.

        dY: (N, nO). X: (N, nI). W: (nO, nP, nI). which: (N, nO), from `affine_maxout`. Returns dX: (N, nI), None
        unless wants_dX, dW: (nO, nP, nI), db: (nO, nP).
        """
        op = "backprop_affine_maxout"
        self._floats(op, "dY X W", dY, X, W)
        self._ints(op, "which", which)
        if not dY.ndim == X.ndim == 2 or dY.shape[0] != X.shape[0]:
            self._rank(op, "dY", dY, 2)
            self._rank(op, "X", X, 2)
            self._shape(op, "X", X, (dY.shape[0], X.shape[1]), "a row for each of dY")
        self._pieces(op, X, W)
        if which.shape != dY.shape:
            self._shape(op, "which", which, dY.shape, "as dY")
        if dY.shape[1] != W.shape[0]:
            self._shape(op, "W", W, (dY.shape[1], *W.shape[1:]), "one for each column of dY")
        dX, dW, db = self._kernels[op](dY, X, W, which, wants_dX=bool(wants_dX))
        return dX, dW, db

    def _pieces(self, op: str, X: Floats2d, W: Floats3d) -> None:
        if W.ndim != 3:
            self._rank(op, "W", W, 3)
        if W.shape[2] != X.shape[1]:
            self._shape(op, "W", W, (*W.shape[:2], X.shape[1]), "a column for each of X")
        if W.shape[1] < 1:
            raise ShapeError(f"{op}: W must have at least one piece, got shape {tuple(W.shape)}")
