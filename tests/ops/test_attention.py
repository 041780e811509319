"""Attention where the samples of the table are too small: many blocks of scores, and what is held of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.subject import Subject, ops_or_skip

H, D = 4, 8
LENGTHS = np.random.default_rng(0).integers(1, 601, 40)
SCORES = H * 600**2  # of the longest sequence


def drawn(rows: int) -> list[Any]:
    return [np.random.default_rng(seed).normal(0, 1, (rows, H, D)).astype("float32") for seed in range(4)]


@pytest.mark.parametrize("causal", [False, True])
def test_sequences_do_not_meet(causal: bool, backend: Subject) -> None:
    """Each sequence has the result that it has alone."""
    lengths = LENGTHS[:12]
    ops, arrays = backend.ops, drawn(int(lengths.sum()))
    dY, Q, K, V = map(backend.array, arrays)
    counts = backend.array(lengths)
    Y, logs = ops.attention(Q, K, V, counts, causal=causal)
    together = (Y, logs, *ops.backprop_attention(dY, Q, K, V, Y, logs, counts, causal=causal))
    ends = np.cumsum(lengths)
    for n in (0, 5, 11):
        rows = slice(int(ends[n] - lengths[n]), int(ends[n]))
        dY, Q, K, V = (backend.array(array[rows]) for array in arrays)
        one = backend.array(lengths[n : n + 1])
        Y, logs = ops.attention(Q, K, V, one, causal=causal)
        alone = (Y, logs, *ops.backprop_attention(dY, Q, K, V, Y, logs, one, causal=causal))
        for whole, part in zip(together, alone, strict=True):
            np.testing.assert_allclose(backend.numpy(whole)[rows], backend.numpy(part), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gradient", [False, True])
def test_xla_never_holds_all_scores(gradient: bool) -> None:
    jax = pytest.importorskip("jax")
    ops = ops_or_skip("jax")
    dY, Q, K, V = map(ops.asarray, drawn(int(LENGTHS.sum())))

    def compute(lengths: Any) -> Any:
        Y, logs = ops.attention(Q, K, V, lengths, longest=600)
        return ops.backprop_attention(dY, Q, K, V, Y, logs, lengths, longest=600) if gradient else Y

    sizes = _sizes(jax.make_jaxpr(compute)(ops.asarray(LENGTHS)).jaxpr)
    assert SCORES <= max(sizes) < len(LENGTHS) * SCORES / 8


def _sizes(jaxpr: Any) -> list[int]:
    """Of every array that a program makes, also within its loops."""
    sizes = []
    for equation in jaxpr.eqns:
        sizes += [variable.aval.size for variable in equation.outvars]
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                sizes += _sizes(inner)
    return sizes
