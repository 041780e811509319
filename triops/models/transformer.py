"""A layer of a transformer, out of others."""

from __future__ import annotations

from triops.models.adapters.within import with_array
from triops.models.combinators.chain import chain
from triops.models.combinators.residual import residual
from triops.models.layers.attention import MultiHeadAttention
from triops.models.layers.dropout import Dropout
from triops.models.layers.hidden import Gelu
from triops.models.layers.layernorm import LayerNorm
from triops.models.layers.linear import Linear
from triops.models.model import Model

__all__ = ["TransformerEncoderLayer"]


def TransformerEncoderLayer(
    nO: int,
    *,
    heads: int = 4,
    hidden: int | None = None,
    causal: bool = False,
    dropout: float | None = None,
    longest: int | None = None,
) -> Model:
    """H = X + attention(norm(X)) and Y = H + Linear(Gelu(norm(H))), where each norm is a LayerNorm of its own.
    Vaswani et al. 2017, Attention Is All You Need, with the normalisation where Xiong et al. 2020, On
    Layer Normalization in the Transformer Architecture, put it.

    X: a list of arrays (Tₙ, nO), Ragged, Padded, or an array, which is one sequence. Y: as X. hidden: the width
    of the Gelu layer, 4 nO where it is left out. heads, causal, longest: as in `MultiHeadAttention`. dropout:
    after the attention and after both layers that follow; None follows the `drop` that `begin_update` is given.
    """
    attention = MultiHeadAttention(nO, nO, heads=heads, causal=causal, dropout=dropout, longest=longest)
    hidden = 4 * nO if hidden is None else hidden
    rows = chain(LayerNorm(nO), Gelu(hidden, nO, dropout=dropout), Linear(nO, hidden), Dropout(dropout))
    rows.set_dim("nO", nO)  # dropout, the last, does not say
    return chain(residual(chain(with_array(LayerNorm(nO)), attention)), residual(with_array(rows)))
