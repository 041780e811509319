"""Kernels that write to arrays of their caller, for libraries whose callers expect that, as Thinc's do. No op
calls them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray
from numba.core import types

from triops.backends.numpy.compiled.build import Kernel, on_one_thread
from triops.backends.numpy.compiled.jit import FASTER, called, inlined, intrinsic
from triops.backends.numpy.compiled.scalar import F

__all__ = ["DONATED"]

U = np.uint32
# Entries that a thread takes at a time: they stay in its nearest caches from one loop to the next.
_BLOCK = 16_384


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(types.int64), generate  # type: ignore[attr-defined]


@inlined
def floats_at(address: int, count: int) -> Any:
    """So many float32 at an address."""
    return carray(_pointer(address), count)


# -- Adam

# The columns of a table of parameters, and of one of their blocks, whose first column says which it belongs to.
_COUNT, _WEIGHTS, _GRADIENT, _MOM1, _MOM2, _AVERAGE, _COLUMNS = range(7)
_OWNER = _COLUMNS


def enter_places(row: Any, W: Any, dW: Any, mom1: Any, mom2: Any) -> None:
    row[_COUNT], row[_WEIGHTS], row[_GRADIENT] = W.size, W.ctypes.data, dW.ctypes.data
    row[_MOM1], row[_MOM2] = mom1.ctypes.data, mom2.ctypes.data


def block_square_sums(blocks: Any, sums: Any) -> None:
    for k in range(blocks.shape[0]):
        dW = floats_at(blocks[k, _GRADIENT], blocks[k, _COUNT])
        # float64 holds the square of any float32.
        total = 0.0
        for i in range(dW.size):
            g = np.float64(dW[i])
            total += g * g
        sums[k] = total


def adam_blocks(blocks: Any, numbers: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any, eps: Any) -> None:
    for k in range(blocks.shape[0]):
        count = blocks[k, _COUNT]
        W, dW = floats_at(blocks[k, _WEIGHTS], count), floats_at(blocks[k, _GRADIENT], count)
        mom1, mom2 = floats_at(blocks[k, _MOM1], count), floats_at(blocks[k, _MOM2], count)
        shrink, rate, keep, share = numbers[blocks[k, _OWNER]]
        for i in range(count):
            g = shrink * dW[i]
            m = beta1 * mom1[i] + rest1 * g
            v = beta2 * mom2[i] + rest2 * g * g
            mom1[i] = m
            mom2[i] = v
            dW[i] = F(0)
            W[i] = keep * (W[i] - rate * m / (np.sqrt(v) + eps))
        if blocks[k, _AVERAGE] != 0:
            average = floats_at(blocks[k, _AVERAGE], count)
            for i in range(count):
                average[i] += share * (W[i] - average[i])


_enter_places = on_one_thread(enter_places, globals())
_square_sums = Kernel(
    block_square_sums, globals(), {"blocks": 1, "sums": 1}, fastmath=FASTER, threshold=3, grain=1
)
_adam = Kernel(adam_blocks, globals(), {"blocks": 1}, threshold=3, grain=1)


def adam_in_place(
    parameters: Sequence[tuple[Any, Any, Any, Any, Any]],
    rates: Sequence[float],
    shares: Sequence[float],
    beta1: float,
    beta2: float,
    eps: float,
    keep: float,
    threshold: float,
) -> None:
    """Of each parameter, m ← β₁ m + (1-β₁) g; v ← β₂ v + (1-β₂) g²; W ← keep (W - rate m / (√v + eps)), where g
    is dW, shortened to `threshold` where its norm is larger, unless that is 0; ema ← ema + share (W - ema);
    dW ← 0.

    parameters: (W, dW, m, v, ema), contiguous float32 of one size each, ema None where there is no average. Those
    that share memory are updated one after the other.
    """
    table = np.zeros((len(parameters), _COLUMNS), np.int64)
    for row, (*arrays, average) in zip(table, parameters, strict=True):
        _enter_places(row, *(array.reshape(-1) for array in arrays))
        if average is not None:
            row[_AVERAGE] = average.ctypes.data
    places = table[:, _WEIGHTS : _GRADIENT + 1]
    numbers = np.empty((len(table), 4), np.float32)
    numbers[:, 0], numbers[:, 1], numbers[:, 2], numbers[:, 3] = 1.0, rates, keep, shares
    settings = tuple(map(float, (beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps)))
    if len(set(places.ravel().tolist())) == places.size:
        _adam_of(table, numbers, threshold, settings)
        return
    for n in range(len(table)):
        _adam_of(table[n : n + 1], numbers[n : n + 1], threshold, settings)


def _adam_of(table: Any, numbers: Any, threshold: float, settings: tuple[Any, ...]) -> None:
    sizes = table[:, _COUNT]
    counts = -(-sizes // _BLOCK)
    owners = np.repeat(np.arange(len(table)), counts)
    starts = _BLOCK * (np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts))
    blocks = np.empty((len(owners), _COLUMNS + 1), np.int64)
    blocks[:, :_COLUMNS] = table[owners]
    blocks[:, _OWNER] = owners
    blocks[:, _COUNT] = np.minimum(sizes[owners] - starts, _BLOCK)
    blocks[:, _WEIGHTS:_AVERAGE] += 4 * starts[:, None]
    blocks[:, _AVERAGE] += np.where(blocks[:, _AVERAGE], 4 * starts, 0)
    if threshold:
        sums = np.empty(len(blocks), np.float64)
        _square_sums.run(len(blocks), blocks, sums, slices=len(blocks))
        norms = np.sqrt(np.bincount(owners, sums, len(table)))
        longer = norms >= threshold
        numbers[longer, 0] = threshold / norms[longer]
    _adam.run(len(blocks), blocks, numbers, *settings, slices=len(blocks))


# -- NumPy's legacy generator

_WORDS, _AHEAD = 624, 397
_UPPER, _LOWER, _MATRIX = U(0x80000000), U(0x7FFFFFFF), U(0x9908B0DF)


@inlined
def mixed(one: Any, next_one: Any, ahead: Any) -> Any:
    y = U(U(one & _UPPER) | U(next_one & _LOWER))
    return U(U(ahead ^ U(y >> U(1))) ^ (_MATRIX if y & U(1) else U(0)))


@called
def twist(words: Any, tempered: Any) -> None:
    """The next 624 words, and what is drawn of them. Matsumoto and Nishimura 1998, Mersenne Twister."""
    for i in range(_WORDS - _AHEAD):
        words[i] = mixed(words[i], words[i + 1], words[i + _AHEAD])
    for i in range(_WORDS - _AHEAD, _WORDS - 1):
        words[i] = mixed(words[i], words[i + 1], words[i + _AHEAD - _WORDS])
    words[_WORDS - 1] = mixed(words[_WORDS - 1], words[0], words[_AHEAD - 1])
    temper(words, tempered)


@called
def temper(words: Any, tempered: Any) -> None:
    for i in range(_WORDS):
        y = words[i]
        y = U(y ^ U(y >> U(11)))
        y = U(y ^ U(U(y << U(7)) & U(0x9D2C5680)))
        y = U(y ^ U(U(y << U(15)) & U(0xEFC60000)))
        tempered[i] = U(y ^ U(y >> U(18)))


def draw_mask(words: Any, place: int, least_high: Any, least_low: Any, scale: Any, out: Any) -> int:
    """Each entry takes two words, 27 bits of one and 26 of the next, and is kept where these are not less."""
    drawn = np.empty(_WORDS, np.uint32)
    temper(words, drawn)
    i = 0
    while i < out.size:
        if place == _WORDS:
            twist(words, drawn)
            place = 0
        first, last = drawn[place:], out[i:]
        pairs = min(first.size // 2, last.size)
        for j in range(pairs):
            high, low = first[2 * j] >> U(5), first[2 * j + 1] >> U(6)
            last[j] = scale if (high > least_high) or ((high == least_high) and (low >= least_low)) else F(0)
        place, i = place + 2 * pairs, i + pairs
        if place == _WORDS - 1 and i < out.size:
            high = drawn[_WORDS - 1] >> U(5)
            twist(words, drawn)
            low = drawn[0] >> U(6)
            out[i] = scale if (high > least_high) or ((high == least_high) and (low >= least_low)) else F(0)
            place, i = 1, i + 1
    return place


_draw_mask = on_one_thread(draw_mask, globals())


def legacy_dropout_mask(state: Any, drop: float, shape: tuple[int, ...]) -> Any:
    """`numpy.random.random_sample(shape) >= drop` times 1 / (1 - drop), and the generator where that leaves it.

    state: (625,) uint32, the memory of an MT19937: its words, and how many of them are used up.
    """
    out = np.empty(shape, np.float32)
    high, low = divmod(math.ceil(math.ldexp(drop, 53)), 1 << 26)
    scale = F(1.0 / (1.0 - drop))
    state[_WORDS] = _draw_mask(state[:_WORDS], int(state[_WORDS]), U(high), U(low), scale, out.reshape(-1))
    return out


DONATED: Mapping[str, Callable[..., Any]] = {
    "adam_in_place": adam_in_place,
    "legacy_dropout_mask": legacy_dropout_mask,
}
