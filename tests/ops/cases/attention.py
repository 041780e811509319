"""Attention: a query at a time, over the keys of its sequence that it may look at."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample, Tolerance
from tests.ops.cases.layouts import mixed, strided, transposed
from tests.ops.cases.reductions import ints
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES"]


def shares(Q: Any, K: Any, lengths: Any, kv_lengths: Any, mask: Any, scale: Any, causal: bool) -> Any:
    """P[h, t, s] over the keys of all sequences, and the logarithms of the sums."""
    T, H, D = Q.shape
    kv_lengths = lengths if kv_lengths is None else kv_lengths
    scale = 1 / math.sqrt(D) if scale is None else scale
    P, logs = np.zeros((H, T, len(K))), np.full((T, H), -math.inf)
    first, first_key = 0, 0
    for queries, keys in zip(lengths.tolist(), kv_lengths.tolist(), strict=True):
        for i in range(queries):
            seen = [
                s
                for s in range(keys)
                if (mask is None or mask[first + i, s]) and (not causal or queries - i <= keys - s)
            ]
            for h in range(H if seen else 0):
                scores = np.array([scale * np.dot(Q[first + i, h], K[first_key + s, h]) for s in seen])
                top = scores.max()
                exps = np.exp(scores - top)
                logs[first + i, h] = top + np.log(exps.sum())
                P[h, first + i, [first_key + s for s in seen]] = exps / exps.sum()
        first, first_key = first + queries, first_key + keys
    return P, logs


def attention(
    Q: Any, K: Any, V: Any, lengths: Any, kv_lengths: Any = None, mask: Any = None,
    *, scale: Any = None, causal: bool = False, longest: Any = None,
) -> tuple[Any, Any]:  # fmt: skip
    P, logs = shares(Q, K, lengths, kv_lengths, mask, scale, causal)
    return weighted(P, V), logs


def weighted(P: Any, V: Any) -> Any:
    """Y[t, h] = Σₛ P[h, t, s] V[s, h], over what has a weight: a key of another sequence may be NaN."""
    Y = np.zeros((P.shape[1], *V.shape[1:]))
    for h, t, s in zip(*np.nonzero(P), strict=True):
        Y[t, h] += P[h, t, s] * V[s, h]
    return Y


def backprop_attention(
    dY: Any, Q: Any, K: Any, V: Any, Y: Any, logsumexp: Any, lengths: Any, kv_lengths: Any = None,
    mask: Any = None, *, scale: Any = None, causal: bool = False, longest: Any = None,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Through the derivatives of each softmax; the shares are computed anew, without logsumexp."""
    P, _ = shares(Q, K, lengths, kv_lengths, mask, scale, causal)
    scale = 1 / math.sqrt(Q.shape[2]) if scale is None else scale
    dP = np.where(P != 0, np.einsum("the,she->hts", dY, V), 0)
    along = (dY * Y).sum(axis=-1).T[..., None]
    dS = np.where(P != 0, scale * P * (dP - along), 0)
    across = np.swapaxes(dS, 1, 2)
    return weighted(dS, K), weighted(across, Q), weighted(np.swapaxes(P, 1, 2), dY)


LENGTHS = ints(3, 1, 4, 2)
KV_LENGTHS = ints(2, 5, 3, 4)
WITH_GAPS, KV_WITH_GAPS = ints(0, 3, 2, 0, 5, 0), ints(4, 0, 2, 0, 7, 1)


class Draw:
    """Random arguments of the forward op."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __call__(
        self, lengths: Any, kv_lengths: Any = None, *, H: int = 2, D: int = 3, E: int = 4, masked: bool = False
    ) -> tuple[Any, ...]:
        T, S = int(lengths.sum()), int((lengths if kv_lengths is None else kv_lengths).sum())
        longest = max((lengths if kv_lengths is None else kv_lengths).tolist(), default=0)
        arrays = tuple(self.rng.normal(0, 1, shape) for shape in ((T, H, D), (S, H, D), (S, H, E)))
        mask = (self.rng.random((T, longest + 1)) < 0.5,) if masked else ()
        return (*arrays, lengths, *(() if kv_lengths is None and not masked else (kv_lengths,)), *mask)


def _samples(rng: np.random.Generator) -> dict[str, Sample]:
    draw = Draw(rng)
    typical = draw(LENGTHS, KV_LENGTHS, masked=True)
    many, many_keys = rng.integers(0, 12, 9), rng.integers(0, 12, 9)
    long = draw(ints(70, 37), H=1)
    Q, K, V = draw(LENGTHS)[:3]
    # Scores of a common size from numbers that are not; every column of V has one sign.
    far = Q * [1e15, 1.0, 1e-15], K * [1e-15, 1.0, 1e15], np.abs(V) * [1e30, -1e15, 1e-30, 1.0]
    # A key that is -∞ away has no weight; NaN and ∞ reach their own sequence and head.
    nonfinite = np.abs(Q), np.array(K), np.array(V)
    nonfinite[1][1, 0] = -math.inf
    nonfinite[1][3, 1, 2] = math.nan
    nonfinite[2][9, 1] = math.inf
    return {
        "typical": Sample(typical, {"longest": 5}, dtypes=(*FULL, *HALF)),
        "one length for both": Sample(draw(LENGTHS), dtypes=(*FULL, *HALF)),
        "causal": Sample(draw(LENGTHS), {"causal": True}),
        "causal with other keys": Sample(draw(LENGTHS, KV_LENGTHS), {"causal": True}, dtypes=("float32",)),
        "causal with a mask": Sample(draw(LENGTHS, masked=True), {"causal": True}, dtypes=("float32",)),
        "nothing to see": Sample((*draw(LENGTHS), None, np.zeros((10, 4), bool)), dtypes=("float32",)),
        "another scale": Sample(draw(LENGTHS), {"scale": -0.3}, dtypes=("float32",)),
        "longest": Sample(draw(LENGTHS), {"longest": 9}, dtypes=("float32",)),
        "int32": Sample(draw(ints(3, 1, 4, 2, dtype="int32")), dtypes=("float32",)),
        "uint8": Sample(draw(ints(3, 1, 4, 2, dtype="uint8")), {"causal": True}, dtypes=("float32",)),
        "one row": Sample(draw(ints(1)), dtypes=("float32",)),
        "one sequence": Sample(draw(ints(9)), dtypes=("float32",)),
        "odd sizes": Sample(draw(many, many_keys, H=3, D=5, E=1)),
        "long": Sample(long),
        "long and causal": Sample(long, {"causal": True}, dtypes=("float32",)),
        "empty": Sample(draw(ints()), dtypes=("float32",)),
        "only empty sequences": Sample(draw(ints(0, 0, 0)), dtypes=("float32",)),
        "empty sequences": Sample(draw(WITH_GAPS, KV_WITH_GAPS)),
        "no keys": Sample(draw(ints(2, 1), ints(0, 0)), dtypes=("float32",)),
        "no queries": Sample(draw(ints(0, 0), ints(2, 1)), dtypes=("float32",)),
        "no column of values": Sample(draw(LENGTHS, E=0), dtypes=("float32",)),
        # As the typical one, so that JAX compiles no more.
        "transposed": Sample(typical, {"longest": 5}, layout=transposed),
        "strided": Sample(typical, {"longest": 5}, layout=strided),
        "mixed": Sample(typical, {"longest": 5}, layout=mixed),
        "extreme": Sample((*far, LENGTHS)),
        "nonfinite": Sample((*nonfinite, LENGTHS), finite=False),
    }


def _backprop_samples(rng: np.random.Generator) -> dict[str, Sample]:
    samples = {}
    for label, sample in _samples(rng).items():
        Q, K, V, *rest = sample.args
        dY = rng.normal(0, 1, (*Q.shape[:2], V.shape[2]))
        if label == "extreme":
            # Of each head one column is large, and all of one sign, so that no gradient is a small difference.
            Q, K = rng.normal(0, 1, (2, *Q.shape))
            V, dY = rng.normal(0, 1, V.shape) * [1e-15, 1, 1, 1], np.abs(dY) * [1e15, 1, 1, 1]
        if label == "nonfinite":
            Q, K, V = rng.normal(0, 1, Q.shape), rng.normal(0, 1, K.shape), rng.normal(0, 1, V.shape)
            dY[3, 0, 1] = math.nan
            dY[8, 1, 1] = math.inf
        Y, logs = attention(Q, K, V, *rest, **sample.settings)
        # What no query sees has no logarithm; a nonfinite argument would mark the sample as nonfinite.
        finite = sample.finite and bool(np.isfinite(logs).all())
        samples[label] = Sample(
            (dY, Q, K, V, Y, logs, *rest), sample.settings, sample.dtypes, sample.layout, finite=finite
        )
    return samples


NEAR = {
    "float64": Tolerance(1e-12, 1e-13),
    "float32": Tolerance(1e-5, 5e-6),
    "float16": Tolerance(8e-3, 4e-3),
    "bfloat16": Tolerance(5e-2, 4e-2),
}

Q, K, V = (np.ones((10, 2, width), "float32") for width in (3, 3, 4))
LOGS = np.ones((10, 2), "float32")
MASK = np.ones((10, 4), bool)


def _bad(before: tuple[Any, ...], after: tuple[Any, ...]) -> tuple[BadCall, ...]:
    """Calls that are wrong in what both ops take; `before` and `after` are the backward op's other arguments."""

    def bad(
        why: str,
        raises: type[Exception],
        match: str,
        *rest: Any,
        of: tuple[Any, Any, Any] = (Q, K, V),
        **how: Any,
    ) -> BadCall:
        return BadCall(why, (*before, *of, *after, *rest), raises, match, **how)

    return (
        bad("a matrix", ShapeError, "Q must have 3 dimensions", LENGTHS, of=(Q[0], K, V)),
        bad("integers", DTypeError, "K must be a floating array", LENGTHS, of=(Q, K.astype("int32"), V)),
        bad("dtypes", DTypeError, "V is float64 and ", LENGTHS, of=(Q, K, V.astype("float64"))),
        bad("width", ShapeError, r"K must have shape \(10, 2, 3\)", LENGTHS, of=(Q, K[:, :, :2], V)),
        bad("heads", ShapeError, r"V must have shape \(10, 2, 4\)", LENGTHS, of=(Q, K, V[:, :1])),
        bad("no column", ShapeError, "Q must have at least one head of at least one column", LENGTHS,
            of=(Q[:, :, :0], K, V)),
        bad("keys without lengths", ShapeError, "the rows of Q, since kv_lengths is None", LENGTHS,
            of=(Q, K[:9], V[:9])),
        bad("too short", ShapeError, "lengths must add up to the number of rows, 10, got 9", ints(3, 1, 4, 1),
            looks_at_values=True),
        bad("negative", ShapeError, "lengths must all be 0 or more, got -1", ints(-1, 5, 4, 2),
            looks_at_values=True),
        bad("keys too short", ShapeError, "kv_lengths must add up to the number of rows, 10, got 8", LENGTHS,
            ints(2, 2, 2, 2), looks_at_values=True),
        bad("other sequences", ShapeError, r"kv_lengths must have shape \(4,\)", LENGTHS, ints(10)),
        bad("floats", DTypeError, "lengths must be an integer array", Q[:4, 0, 0]),
        bad("numbers for a mask", DTypeError, "mask must be an array of booleans, got float32", LENGTHS, None,
            MASK.astype("float32")),
        bad("a narrow mask", ShapeError, r"mask must have shape \(10, 4 or more\)", LENGTHS, None, MASK[:, :3]),
        bad("a short mask", ShapeError, r"mask must have shape \(10, 4 or more\)", LENGTHS, None, MASK[:9]),
        bad("longest", ShapeError, "longest must be at least the largest of lengths, 4, got 3", LENGTHS,
            settings={"longest": 3}, looks_at_values=True),
        bad("scale", ArgumentError, "scale must be finite, got nan", LENGTHS, settings={"scale": math.nan}),
    )  # fmt: skip


def _gradient(lengths: Any = LENGTHS, kv_lengths: Any = None, masked: bool = False, **settings: Any) -> Gradient:
    draw = Draw(np.random.default_rng(5))
    Q, K, V, *rest = draw(lengths, kv_lengths, masked=masked)

    def given(ops: Any) -> list[Any]:
        return [rest_array if rest_array is None else ops.asarray(rest_array) for rest_array in rest]

    def forward(ops: Any, Q: Any, K: Any, V: Any) -> Any:
        return ops.attention(Q, K, V, *given(ops), **settings)[0]

    def backprop(ops: Any, dY: Any, Q: Any, K: Any, V: Any) -> tuple[Any, ...]:
        saved = ops.attention(Q, K, V, *given(ops), **settings)
        gradients: tuple[Any, ...] = ops.backprop_attention(dY, Q, K, V, *saved, *given(ops), **settings)
        return gradients

    return Gradient(forward, (Q, K, V), backprop)


CASES = (
    OpCase("attention", attention, _samples, _bad((), ()), tolerances=NEAR),
    OpCase(
        "backprop_attention",
        backprop_attention,
        _backprop_samples,
        (
            *_bad((V,), (V, LOGS)),
            BadCall(
                "another dY", (V[:9], Q, K, V, V, LOGS, LENGTHS), ShapeError, r"dY must have shape \(10, 2, 4\)"
            ),
            BadCall("another Y", (V, Q, K, V, Q, LOGS, LENGTHS), ShapeError, r"Y must have shape \(10, 2, 4\)"),
            BadCall(
                "another sum",
                (V, Q, K, V, V, LOGS[:, :1], LENGTHS),
                ShapeError,
                r"logsumexp must have shape \(10, 2\)",
            ),
        ),
        {
            "": _gradient(),
            "causal": _gradient(causal=True, scale=0.9),
            "other keys": _gradient(WITH_GAPS, KV_WITH_GAPS, causal=True),
            "mask": _gradient(LENGTHS, KV_LENGTHS, masked=True),
        },
        tolerances=NEAR,
    ),
)
