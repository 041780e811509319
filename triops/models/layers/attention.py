"""Layers in which the rows of a sequence look at each other."""

from __future__ import annotations

from typing import Any

from triops.errors import ArgumentError
from triops.models.initializers import Initializer, glorot_uniform_init, uniform_init, zero_init
from triops.models.layers.dropout import Dropout
from triops.models.layers.over_sequences import OverSequences
from triops.models.seeds import derive_seed
from triops.ops import Ops
from triops.types import Backprop, Floats2d, FloatsXd, Ints1d, Shape

__all__ = ["MultiHeadAttention", "ParametricAttention"]


class MultiHeadAttention(OverSequences):
    """Y = [A₁, ..., A_nH] Woᵀ + bo, then dropout, where the head Aₕ = softmax(Qₕ Kₕᵀ/√D) Vₕ within each sequence,
    and queries, keys and values are (X Wᵀ + b), nH heads of width D = nO/nH side by side. Vaswani et al. 2017,
    Attention Is All You Need.

    X: a list of arrays (Tₙ, nI), Ragged, Padded, or an array, which is one sequence. Y: as X, of width nO, which
    is nI where nothing says otherwise. Parameters W: (3, nO, nI) and b: (3, nO) for queries, keys and values,
    Wo: (nO, nO), bo: (nO,). heads: must divide nO. causal: a row looks at itself and the rows before it. dropout:
    the layer's own rate; None follows the `drop` that `begin_update` is given. longest: a length that no sequence
    exceeds, needed only while JAX compiles; it is kept in `attrs["longest"]`.
    """

    def __init__(
        self,
        nO: int | None = None,
        nI: int | None = None,
        *,
        heads: int = 4,
        causal: bool = False,
        dropout: float | None = None,
        longest: int | None = None,
        init_W: Initializer = glorot_uniform_init,
        init_b: Initializer = zero_init,
    ) -> None:
        super().__init__(
            dims={"nO": nO, "nI": nI, "nH": heads},
            layers=[Dropout(dropout)],
            attrs={"causal": bool(causal), "longest": longest},
        )
        self.add_param("W", (3, "nO", "nI"), _each(init_W))
        self.add_param("b", (3, "nO"), init_b)
        self.add_param("Wo", ("nO", "nO"), init_W)
        self.add_param("bo", ("nO",), init_b)
        self._check_heads()

    def infer_dims(self, X: Any, Y: Any) -> None:
        super().infer_dims(X, Y)
        if self.has_dim("nO") is None:
            self.set_dim("nO", self.get_dim("nI"))
        self._check_heads()

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        super().initialize_layers(None, None, seed)

    def begin_rows(self, X: Floats2d, lengths: Ints1d, drop: float | None) -> tuple[Floats2d, Backprop]:
        ops, xp = self.ops, self.ops.xp
        nO, nI, nH = self.get_dim("nO"), self.get_dim("nI"), self.get_dim("nH")
        rows, heads = X.shape[0], (X.shape[0], nH, nO // nH)
        settings = {"causal": self.attrs["causal"], "longest": self.attrs["longest"]}
        W, Wo = self.get_param("W").reshape((3 * nO, nI)), self.get_param("Wo")
        QKV = ops.affine(X, W, self.get_param("b").reshape((3 * nO,))).reshape((rows, 3, *heads[1:]))
        Q, K, V = QKV[:, 0], QKV[:, 1], QKV[:, 2]
        A, logsumexp = ops.attention(Q, K, V, lengths, **settings)
        joined = A.reshape((rows, nO))
        Y, backprop_dropout = self.layers[0].begin_update(ops.affine(joined, Wo, self.get_param("bo")), drop)

        def backprop(dY: Floats2d) -> Floats2d | None:
            d_joined: Any
            dY = backprop_dropout(dY)
            d_joined, dWo, dbo = ops.backprop_affine(dY, joined, Wo)
            self.inc_grad("bo", dbo)
            self.inc_grad("Wo", dWo)
            dA = d_joined.reshape(heads)
            d_heads = ops.backprop_attention(dA, Q, K, V, A, logsumexp, lengths, **settings)
            dQKV = xp.stack(d_heads, axis=1).reshape((rows, 3 * nO))
            dX, dW, db = ops.backprop_affine(dQKV, X, W)
            self.inc_grad("b", db.reshape((3, nO)))
            self.inc_grad("W", dW.reshape((3, nO, nI)))
            return dX

        return Y, backprop

    def _check_heads(self) -> None:
        nO, nH = self.maybe_get_dim("nO"), self.get_dim("nH")
        if nO is not None and nO % nH:
            raise ArgumentError(f"MultiHeadAttention: heads must divide nO = {nO}, got {nH}")


class ParametricAttention(OverSequences):
    """Y[t] = a[t] X[t], where a = softmax(X Q) over the rows of each sequence: the rows that are most like Q keep
    most. As in Thinc; a sum over each sequence gives the attention of Yang et al. 2016, Hierarchical Attention
    Networks for Document Classification.

    X: a list of arrays (Tₙ, nO), Ragged, Padded, or an array, which is one sequence. Y: as X. nI is nO. Parameter
    Q: (nO,).
    """

    def __init__(self, nO: int | None = None, *, init_Q: Initializer = uniform_init) -> None:
        super().__init__(dims={"nO": nO, "nI": nO})
        self.add_param("Q", ("nO",), init_Q)

    def infer_dims(self, X: Any, Y: Any) -> None:
        super().infer_dims(X if X is not None else Y, None)
        self.set_dim("nO", self.get_dim("nI"))

    def begin_rows(self, X: Floats2d, lengths: Ints1d, drop: float | None) -> tuple[Floats2d, Backprop]:
        ops, Q = self.ops, self.get_param("Q").reshape((self.get_dim("nO"), 1))
        shares = ops.softmax_sequences(ops.gemm(X, Q), lengths)

        def backprop(dY: Floats2d) -> Floats2d:
            d_shares = (X * dY).sum(axis=1).reshape(shares.shape)
            d_scores = ops.backprop_softmax_sequences(d_shares, shares, lengths)
            self.inc_grad("Q", ops.gemm(X, d_scores, trans1=True).reshape((Q.shape[0],)))
            dX: Floats2d = dY * shares + d_scores * Q.T
            return dX

        return X * shares, backprop


def _each(init: Initializer) -> Initializer:
    """One draw for each of several matrices, whose sizes decide on its spread."""

    def init_each(ops: Ops, shape: Shape, seed: int, /) -> FloatsXd:
        count, *each = shape
        drawn: FloatsXd = ops.xp.stack([init(ops, tuple(each), derive_seed(seed, i)) for i in range(count)])
        return drawn

    return init_each
