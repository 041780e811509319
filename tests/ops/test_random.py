"""Random numbers: the same bits on every backend, and no pattern that a network could learn from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.subject import ops_or_skip
from triops import Ops, get_ops

CALLS = {
    "draw_uniform": ((11, (7, 5), -0.3, 0.9), {}),
    "draw_uniform float64": ((12, (7, 5)), {"dtype": "float64"}),
    "draw_normal": ((13, (7, 5), 0.1, 0.02), {}),
    "draw_normal float16": ((14, (7, 5)), {"dtype": "float16"}),
    "permutation": ((15, 100), {}),
    "dropout_mask": ((16, 3, (7, 5), 0.37), {}),
    "dropout_mask float64": ((2**40 + 1, 2**33, (3, 1, 11), 0.1), {"dtype": "float64"}),
    "dropout_mask float16": ((17, 0, (1001,), 0.5), {"dtype": "float16"}),
}


@pytest.mark.parametrize("call", CALLS)
def test_same_bits_on_every_backend(call: str) -> None:
    args, settings = CALLS[call]
    numpy, jax = get_ops("numpy"), ops_or_skip("jax")
    method = call.split()[0]
    here = numpy.to_numpy(getattr(numpy, method)(*args, **settings))
    there = jax.to_numpy(getattr(jax, method)(*args, **settings))
    assert here.dtype == there.dtype
    assert here.tobytes() == there.tobytes()


@pytest.mark.parametrize("call", CALLS)
def test_no_hidden_generator(call: str, ops: Ops) -> None:
    args, settings = CALLS[call]
    method = getattr(ops, call.split()[0])
    first = ops.to_numpy(method(*args, **settings)).tobytes()
    other = ops.to_numpy(method(args[0] + 1, *args[1:], **settings)).tobytes()
    assert ops.to_numpy(method(*args, **settings)).tobytes() == first
    assert other != first


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_rate(drop: float) -> None:
    size = 100_000
    spread = math.sqrt(size * drop * (1 - drop))
    for seed in range(5):
        mask = _mask(seed, 7, size, drop)
        assert set(np.unique(mask)) == {0.0, np.float32(1) / (np.float32(1) - np.float32(drop))}
        assert abs(np.count_nonzero(mask) - size * (1 - drop)) < 4 * spread
        assert abs(mask.mean() - 1.0) < 4 * spread / (size * (1 - drop))


def test_dropout_rate_is_even_over_rows_and_columns() -> None:
    shape = (200, 300)
    kept = get_ops("numpy").dropout_mask(5, 1, shape, 0.3) > 0
    for axis in (0, 1):
        others = shape[axis]
        z = (kept.sum(axis=axis) - 0.7 * others) / math.sqrt(others * 0.21)
        assert abs(z).max() < 4.5
        assert z.std() == pytest.approx(1.0, abs=0.15)


def test_dropout_masks_of_neighbours_have_nothing_in_common() -> None:
    """Seeds and steps of a run are small consecutive numbers: 64 pairs of them, all against all."""
    size = 4096
    masks = np.stack([_mask(seed, step, size, 0.5) for seed in range(8) for step in range(8)]) - 1.0
    shared = masks @ masks.T / size
    np.fill_diagonal(shared, 0.0)
    assert abs(shared).max() < 5 / math.sqrt(size)
    assert shared[np.triu_indices(64, 1)].std() == pytest.approx(1 / math.sqrt(size), rel=0.1)


def test_dropout_masks_of_neighbours_are_not_each_other_moved() -> None:
    size = 4096
    first, second = _mask(3, 10, size, 0.5) - 1.0, _mask(3, 11, size, 0.5) - 1.0
    for one, other in ((first, first), (first, second), (first, second[::-1])):
        at_shift = np.fft.ifft(np.fft.fft(one) * np.conj(np.fft.fft(other))).real / size
        if one is other:
            at_shift = at_shift[1:]
        assert abs(at_shift).max() < 5 / math.sqrt(size)
    for flipped in (1, 2, 3, 8, 64, 1024, 4095):
        assert abs((first * second[np.arange(size) ^ flipped]).mean()) < 5 / math.sqrt(size)


def test_seed_and_step_are_not_interchangeable() -> None:
    masks = {_mask(seed, step, 256, 0.5).tobytes() for seed in range(6) for step in range(6)}
    assert len(masks) == 36


def test_low_32_bits_count() -> None:
    mask = _mask(5, 6, 256, 0.5)
    np.testing.assert_array_equal(_mask(5 + 2**32, 6 + 2**32, 256, 0.5), mask)


@pytest.mark.parametrize("dtype", ["float16", np.float16, np.dtype("float16")], ids=["name", "type", "dtype"])
def test_dtype_in_any_spelling(dtype: Any, ops: Ops) -> None:
    for array in (ops.dropout_mask(1, 2, (3,), 0.5, dtype=dtype), ops.draw_uniform(1, (3,), dtype=dtype)):
        assert array.dtype == "float16"


def test_numbers_of_numpy_are_seeds(ops: Ops) -> None:
    mask = ops.dropout_mask(np.int64(3), np.uint8(4), (50,), 0.5)
    assert ops.to_numpy(mask).tobytes() == ops.to_numpy(ops.dropout_mask(3, 4, (50,), 0.5)).tobytes()
    draws = ops.draw_normal(np.int64(3), (5,))
    assert ops.to_numpy(draws).tobytes() == ops.to_numpy(ops.draw_normal(3, (5,))).tobytes()


def test_uniform_draws_fill_their_interval() -> None:
    draws = np.sort(get_ops("numpy").draw_uniform(1, (20_000,), -2.0, 3.0, dtype="float64"))
    assert draws[0] >= -2.0
    assert draws[-1] < 3.0
    assert _furthest(draws, [(x + 2.0) / 5.0 for x in draws]) < 1.95 / math.sqrt(len(draws))


def test_normal_draws_are_normal() -> None:
    draws = np.sort(get_ops("numpy").draw_normal(1, (20_000,), 2.0, 3.0, dtype="float64"))
    cdf = [0.5 * math.erfc(-(x - 2.0) / (3.0 * math.sqrt(2.0))) for x in draws]
    assert _furthest(draws, cdf) < 1.95 / math.sqrt(len(draws))


def test_permutation_moves_everything_once() -> None:
    order = get_ops("numpy").permutation(1, 10_000)
    assert order.dtype == "int64"
    np.testing.assert_array_equal(np.sort(order), np.arange(10_000))
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.05


def test_permutation_shuffles_rows(ops: Ops) -> None:
    X = ops.asarray(np.arange(30, dtype="float32").reshape(10, 3))
    shuffled = ops.to_numpy(ops.gather(X, ops.permutation(2, 10)))
    assert sorted(shuffled[:, 0].tolist()) == list(range(0, 30, 3))


def _mask(seed: int, step: int, size: int, drop: float) -> Any:
    return get_ops("numpy").dropout_mask(seed, step, (size,), drop)


def _furthest(draws: Any, cdf: Any) -> float:
    """The statistic of Kolmogorov and Smirnov."""
    places = np.arange(len(draws))
    return float(max(np.max(cdf - places / len(draws)), np.max((places + 1) / len(draws) - cdf)))
