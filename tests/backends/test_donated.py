"""Kernels that write to arrays of their caller: they change what is theirs to change, as the formulas say."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from triops import get_ops

pytest.importorskip("numba")

from triops.backends.numpy.compiled.donated import DONATED

SIZES = (1, 7, 16_384, 16_385, 70_000)  # one block and several
BETA1, BETA2, EPS, KEEP = 0.9, 0.99, 1e-8, 0.95


def parameters(averages: bool) -> list[Any]:
    draws = np.random.default_rng(0)
    made = []
    for size in SIZES:
        W, dW, mom1, average = (draws.normal(size=size).astype("float32") for _ in range(4))
        made.append((W, dW, mom1, np.square(mom1) + 0.1, average if averages else None))
    return made


def stepped(W: Any, dW: Any, mom1: Any, mom2: Any, average: Any, n: int, threshold: float) -> tuple[Any, ...]:
    """The formula, in float64."""
    wide = [array.astype("float64") for array in (W, dW, mom1, mom2)]
    W, g, mom1, mom2 = wide
    norm = np.sqrt((g * g).sum())
    if threshold and norm >= threshold:
        g = g * threshold / norm
    mom1, mom2 = BETA1 * mom1 + (1 - BETA1) * g, BETA2 * mom2 + (1 - BETA2) * g * g
    W = KEEP * (W - 0.01 * (n + 1) * mom1 / (np.sqrt(mom2) + EPS))
    if average is not None:
        average = average + 0.1 * (n + 1) * (W - average)
    return W, 0 * g, mom1, mom2, average


@pytest.mark.parametrize("threshold", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("averages", [False, True])
def test_adam_of_all_parameters_at_once(averages: bool, threshold: float) -> None:
    given = parameters(averages)
    expected = [stepped(*arrays, n, threshold) for n, arrays in enumerate(given)]
    rates, shares = ([scale * (n + 1) for n in range(len(given))] for scale in (0.01, 0.1))
    DONATED["adam_in_place"](given, rates, shares, BETA1, BETA2, EPS, KEEP, threshold)
    for arrays, wanted in zip(given, expected, strict=True):
        for array, other in zip(arrays, wanted, strict=True):
            if other is not None:
                np.testing.assert_allclose(array, other, rtol=2e-6, atol=2e-6)


def test_parameters_that_share_memory_are_updated_one_after_the_other() -> None:
    (W, dW, *moments, _), *_ = parameters(False)[3:]
    others = [np.array(moment) for moment in moments]
    expected = stepped(W, dW, *moments, None, 0, 0.0)[0].astype("float32")
    expected = stepped(expected, 0 * dW, *others, None, 0, 0.0)[0]
    twice = [(W, dW, *moments, None), (W, dW, *others, None)]
    DONATED["adam_in_place"](twice, [0.01, 0.01], [0.0, 0.0], BETA1, BETA2, EPS, KEEP, 0.0)
    np.testing.assert_allclose(W, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("drop", [0.1, 1 / 3, 0.5, 1e-18, 1 - 1e-16])
@pytest.mark.parametrize("drawn_before", [0, 1, 623])
def test_the_legacy_mask_is_what_numpy_draws(drawn_before: int, drop: float) -> None:
    def generator() -> Any:
        made = np.random.MT19937()
        made._legacy_seeding(7)
        np.random.RandomState(made).randint(0, 2**32, drawn_before, dtype="uint32")
        return made

    for shape in ((1,), (2, 3), (311,), (312,), (313, 5)):
        theirs, ours = generator(), generator()
        kept = np.random.RandomState(theirs).random_sample(shape) >= drop
        expected = np.multiply(kept, np.float32(1.0 / (1.0 - drop)), dtype="float32")
        memory = np.frombuffer((ctypes.c_uint32 * 625).from_address(ours.ctypes.state_address), "uint32")
        np.testing.assert_array_equal(DONATED["legacy_dropout_mask"](memory, drop, shape), expected)
        np.testing.assert_array_equal(theirs.state["state"]["key"], ours.state["state"]["key"])
        assert theirs.state["state"]["pos"] == ours.state["state"]["pos"]


def test_no_op_is_called_like_them() -> None:
    assert not any(hasattr(get_ops("numpy"), name) for name in DONATED)
