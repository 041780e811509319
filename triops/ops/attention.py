"""Attention over sequences that lie one after another."""

from __future__ import annotations

import math
from typing import Any

from triops.errors import ArgumentError, DTypeError, ShapeError, UnknownLengths
from triops.ops.bounds import bounds
from triops.ops.lengths import LengthOps
from triops.types import Array, Floats2d, Floats3d, Ints1d

__all__ = ["AttentionOps"]


class AttentionOps(LengthOps):
    """attention and its gradient.

    Q: (T, H, D), the queries of N sequences one after another, H heads of width D. K: (S, H, D), the keys, and
    V: (S, H, E), the values, of the same N sequences. lengths: (N,) integers of 0 or more that add up to T.
    kv_lengths: (N,) integers of 0 or more that add up to S, where they differ from lengths, as in
    cross-attention; None for lengths. mask: (T, M) booleans, whether a query may look at each key of its
    sequence, counted from the sequence's first; M at least the longest kv_lengths. None for all. scale: what
    scores are multiplied by; None for 1/√D. causal: a query looks at no key after its own place, where the last
    query stands at the last key. longest: the largest of lengths and kv_lengths, or more; None to look, which on
    an accelerator waits for the device, and cannot be done while compiling.

    A batch that is padded, (N, L, H, D), is the same to these ops: it is reshaped to (N L, H, D), with lengths
    of L each, and a mask.

    What a query may not look at has no weight. A query that may look at nothing has Y = 0, logsumexp = -∞ and no
    gradient. Scores are never held for more than some sequences, or some rows of a long one, at a time: the
    gradient computes them again from logsumexp, as Dao et al. 2022, FlashAttention. Half precision computes in
    float32, with float32 sums, which the gradient takes again, since logsumexp has lost their digits. Raises
    ShapeError for lengths that are negative, do not add up, or exceed `longest`, where they lie on the host;
    elsewhere they give NaN throughout.
    """

    def attention(
        self,
        Q: Floats3d,
        K: Floats3d,
        V: Floats3d,
        lengths: Ints1d,
        kv_lengths: Ints1d | None = None,
        mask: Array | None = None,
        *,
        scale: float | None = None,
        causal: bool = False,
        longest: int | None = None,
    ) -> tuple[Floats3d, Floats2d]:
        """Y[t, h] = Σₛ P[t, s] V[s, h], with P = softmax(scale Q[t, h] · K[s, h]) over the keys s that query t
        may look at. Vaswani et al. 2017, Attention Is All You Need.

        Returns Y: (T, H, E), and logsumexp: (T, H), the logarithm of the sum that P was divided by, to give to
        `backprop_attention`.
        """
        settings = self._attended(
            "attention", Q, K, V, lengths, kv_lengths, mask, scale=scale, causal=causal, longest=longest
        )
        Y, logsumexp = self._kernels["attention"](Q, K, V, lengths, kv_lengths, mask, **settings)
        return Y, logsumexp

    def backprop_attention(
        self,
        dY: Floats3d,
        Q: Floats3d,
        K: Floats3d,
        V: Floats3d,
        Y: Floats3d,
        logsumexp: Floats2d,
        lengths: Ints1d,
        kv_lengths: Ints1d | None = None,
        mask: Array | None = None,
        *,
        scale: float | None = None,
        causal: bool = False,
        longest: int | None = None,
    ) -> tuple[Floats3d, Floats3d, Floats3d]:
        """dV[s] = Σₜ P[t, s] dY[t], dQ[t] = scale Σₛ dS[t, s] K[s] and dK[s] = scale Σₜ dS[t, s] Q[t], with
        dS[t, s] = P[t, s] (dY[t] · V[s] - dY[t] · Y[t]), each head apart.

        dY: (T, H, E). Q, K, V: as given to `attention`. Y: (T, H, E) and logsumexp: (T, H), its results. The
        rest: as given to it. Returns dQ, dK and dV, as Q, K and V.
        """
        op = "backprop_attention"
        self._floats(op, "dY Q K V Y logsumexp", dY, Q, K, V, Y, logsumexp)
        settings = self._attended(
            op, Q, K, V, lengths, kv_lengths, mask, scale=scale, causal=causal, longest=longest
        )
        rows = Q.shape[:2]
        shape = (*rows, V.shape[2])
        if not dY.shape == Y.shape == shape or logsumexp.shape != rows:
            self._shape(op, "dY", dY, shape, "as Y")
            self._shape(op, "Y", Y, shape, "a row a query, as wide as V")
            self._shape(op, "logsumexp", logsumexp, rows, "a number for each head of a query")
        dQ, dK, dV = self._kernels[op](dY, Q, K, V, Y, logsumexp, lengths, kv_lengths, mask, **settings)
        return dQ, dK, dV

    def _attended(
        self,
        op: str,
        Q: Floats3d,
        K: Floats3d,
        V: Floats3d,
        lengths: Ints1d,
        kv_lengths: Ints1d | None,
        mask: Array | None,
        *,
        scale: float | None,
        causal: bool,
        longest: int | None,
    ) -> dict[str, Any]:
        """Check what both ops are given; returns the settings of their kernels."""
        self._floats(op, "Q K V", Q, K, V)
        if not Q.ndim == K.ndim == V.ndim == 3:
            for argument, array in (("Q", Q), ("K", K), ("V", V)):
                self._rank(op, argument, array, 3)
        queries, heads, width = Q.shape
        keys, others, _ = K.shape
        if not (heads and width):
            raise ShapeError(f"{op}: Q must have at least one head of at least one column, got {tuple(Q.shape)}")
        if others != heads or K.shape[2] != width or V.shape[0] != keys or V.shape[1] != heads:
            self._shape(op, "K", K, (keys, heads, width), "the heads and widths of Q")
            self._shape(op, "V", V, (keys, heads, V.shape[2]), "the rows and heads of K")
        largest = self._lengths(op, lengths, queries)
        if kv_lengths is None:
            if keys != queries:
                self._shape(op, "K", K, (queries, heads, width), "the rows of Q, since kv_lengths is None")
            most = most_keys = self._most(op, "lengths", lengths, largest, longest)
        else:
            largest_keys = self._lengths(op, kv_lengths, keys, argument="kv_lengths")
            self._shape(op, "kv_lengths", kv_lengths, (lengths.shape[0],), "one for each of lengths")
            most = self._most(op, "lengths", lengths, largest, longest)
            most_keys = self._most(op, "kv_lengths", kv_lengths, largest_keys, longest)
        if mask is not None:
            self.check_owner(op, "mask", mask)
            if mask.dtype.kind != "b":
                raise DTypeError(f"{op}: mask must be an array of booleans, got {mask.dtype}: give it mask != 0")
            if mask.ndim != 2 or mask.shape[0] != Q.shape[0] or mask.shape[1] < most_keys:
                raise ShapeError(
                    f"{op}: mask must have shape ({Q.shape[0]}, {most_keys} or more) (a row a query, a column a "
                    f"key of its sequence), got {tuple(mask.shape)}"
                )
        scale = 1 / math.sqrt(width) if scale is None else float(scale)
        if not math.isfinite(scale):
            raise ArgumentError(f"{op}: scale must be finite, got {scale}")
        return {"scale": scale, "causal": bool(causal), "longest": most, "longest_keys": most_keys}

    def _most(self, op: str, argument: str, lengths: Ints1d, largest: int | None, longest: int | None) -> int:
        """The length that scores are made for. largest: of the lengths, None where it was not looked at."""
        if longest is not None:
            if largest is not None and largest > longest:
                raise ShapeError(
                    f"{op}: longest must be at least the largest of {argument}, {largest}, got {longest}"
                )
            return longest
        if largest is not None:
            return largest
        if not self.backend.is_traced(lengths):
            return self._extremes(lengths)[1]
        known = bounds()
        bound = None if known is None else known.longest_of(lengths)
        if bound is None:
            raise UnknownLengths(
                f"{op}: longest must be given while compiling, since the values of {argument} are not known: "
                f"pass a number that none of them exceeds"
            )
        return bound
