"""Hashes of 64-bit numbers. Integers wrap around, as arrays do in every namespace."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula


@formula
def hash(xp: Any, ids: Any, seed: Any, *, nV: int | None) -> Any:
    # One block of 8 bytes is all tail to MurmurHash3: only the first of its two lanes takes it in.
    start = _long(xp, 8) ^ xp.asarray(seed, dtype="uint32").astype("uint64")
    h1 = ids.astype("uint64") * _long(xp, 0x87C37B91114253D5)
    h1 = ((h1 << _long(xp, 31)) | (h1 >> _long(xp, 33))) * _long(xp, 0x4CF5AD432745937F)
    h1 = (h1 ^ start) + start
    h2 = h1 + start
    h1, h2 = _spread(xp, h1), _spread(xp, h2)
    h1 = h1 + h2
    h2 = h2 + h1
    halves = (h1, h1 >> _long(xp, 32), h2, h2 >> _long(xp, 32))
    keys = xp.stack([(half & _long(xp, 0xFFFFFFFF)).astype("uint32") for half in halves], axis=1)
    return keys if nV is None else keys % _word(xp, nV)


@formula
def hash32(xp: Any, ids: Any, seed: Any) -> Any:
    words = ids.astype("uint64")
    h = xp.asarray(seed, dtype="uint32")
    for half in (words & _long(xp, 0xFFFFFFFF), words >> _long(xp, 32)):
        k = _rotated(xp, half.astype("uint32") * _word(xp, 0xCC9E2D51), 15) * _word(xp, 0x1B873593)
        h = _rotated(xp, h ^ k, 13) * _word(xp, 5) + _word(xp, 0xE6546B64)
    h = h ^ _word(xp, 8)
    h = (h ^ (h >> _word(xp, 16))) * _word(xp, 0x85EBCA6B)
    h = (h ^ (h >> _word(xp, 13))) * _word(xp, 0xC2B2AE35)
    return h ^ (h >> _word(xp, 16))


@formula
def ngrams(xp: Any, keys: Any, *, n: int) -> Any:
    count = max(0, keys.shape[0] - (n - 1))
    factor = _long(xp, 0xC6A4A7935BD1E995)
    words = keys.astype("uint64")
    h = xp.zeros((count,), dtype="uint64") + _long(xp, 8 * n * 0xC6A4A7935BD1E995 % 2**64)
    for i in range(n if count else 0):
        word = words[i : i + count] * factor
        h = (h ^ ((word ^ (word >> _long(xp, 47))) * factor)) * factor
    h = (h ^ (h >> _long(xp, 47))) * factor
    return h ^ (h >> _long(xp, 47))


def _spread(xp: Any, h: Any) -> Any:
    """MurmurHash3's 64-bit finaliser."""
    h = (h ^ (h >> _long(xp, 33))) * _long(xp, 0xFF51AFD7ED558CCD)
    h = (h ^ (h >> _long(xp, 33))) * _long(xp, 0xC4CEB9FE1A85EC53)
    return h ^ (h >> _long(xp, 33))


def _rotated(xp: Any, h: Any, by: int) -> Any:
    return (h << _word(xp, by)) | (h >> _word(xp, 32 - by))


def _word(xp: Any, value: int) -> Any:
    return xp.asarray(value, dtype="uint32")


def _long(xp: Any, value: int) -> Any:
    # In two halves: JAX silently cuts a Python integer to 32 bits, whatever dtype is named.
    high, low = (xp.asarray(half, dtype="uint32").astype("uint64") for half in divmod(value, 2**32))
    return (high << xp.asarray(32, dtype="uint32").astype("uint64")) | low
