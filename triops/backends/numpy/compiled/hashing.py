"""Hashes of 64-bit ids, bit for bit as their formulas give them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import flat
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.jit import inlined

__all__ = ["HASHING"]

L, U = np.uint64, np.uint32
_THRESHOLD = 4_096  # ids from which a second thread pays
_FIRST, _SECOND = L(0x87C37B91114253D5), L(0x4CF5AD432745937F)
_THIRD, _FOURTH = L(0xFF51AFD7ED558CCD), L(0xC4CEB9FE1A85EC53)
_HALF = L(0xFFFFFFFF)
_FACTOR = L(0xC6A4A7935BD1E995)
_FIRST_32, _SECOND_32, _ADDEND_32 = U(0xCC9E2D51), U(0x1B873593), U(0xE6546B64)
_THIRD_32, _FOURTH_32 = U(0x85EBCA6B), U(0xC2B2AE35)


@inlined
def spread(h: Any) -> Any:
    h = (h ^ (h >> L(33))) * _THIRD
    h = (h ^ (h >> L(33))) * _FOURTH
    return h ^ (h >> L(33))


@inlined
def modulo(x: Any, nV: Any, share: Any) -> Any:
    """x mod nV, for 32 bits of x. share: ⌈2⁶⁴ / nV⌉. Lemire, Kaser and Kurz 2019, Faster Remainder by Direct
    Computation."""
    rest = x * share
    return ((rest >> L(32)) * nV + ((rest & _HALF) * nV >> L(32))) >> L(32)


# Numba makes a product or sum of 32-bit numbers 64 bits wide unless told otherwise.
@inlined
def rotated(h: Any, by: Any) -> Any:
    return U(U(h << U(by)) | U(h >> U(32 - by)))


@inlined
def stirred(h: Any, word: Any) -> Any:
    k = U(rotated(U(word * _FIRST_32), 15) * _SECOND_32)
    return U(U(rotated(U(h ^ k), 13) * U(5)) + _ADDEND_32)


def hash_ids_32(ids: Any, out: Any, seed: Any) -> None:
    for i in range(ids.size):
        h = stirred(stirred(U(seed), U(ids[i] & L(0xFFFFFFFF))), U(ids[i] >> L(32)))
        h = U(h ^ U(8))
        h = U(U(h ^ U(h >> U(16))) * _THIRD_32)
        h = U(U(h ^ U(h >> U(13))) * _FOURTH_32)
        out[i] = U(h ^ U(h >> U(16)))


def hash_ids(ids: Any, out: Any, key: Any, modulus: int) -> None:
    salt, nV = L(key), L(modulus)
    for i in range(ids.size):
        h = ids[i] * _FIRST
        h = (((h << L(31)) | (h >> L(33))) * _SECOND ^ salt) + salt
        h1, h2 = spread(h), spread(h + salt)
        h1 = h1 + h2
        out[2 * i] = h1
        out[2 * i + 1] = h1 + h2
    if nV > L(0):
        share = L(L(0xFFFFFFFFFFFFFFFF) // nV) + L(1)
        for i in range(out.size):
            out[i] = modulo(out[i] & _HALF, nV, share) | (modulo(out[i] >> L(32), nV, share) << L(32))


def hash_ngrams(keys: Any, out: Any, n: int, start: int) -> None:
    # Key by key over a slice that stays in the cache: a loop over the keys of one n-gram is not vectorised.
    for low in range(0, out.size, 1024):
        hashes = out[low : low + 1024]
        hashes[:] = L(n) * L(8) * _FACTOR
        for k in range(n):
            shifted = keys[start + low + k : start + low + k + hashes.size]
            for i in range(hashes.size):
                word = shifted[i] * _FACTOR
                hashes[i] = (hashes[i] ^ ((word ^ (word >> L(47))) * _FACTOR)) * _FACTOR
        for i in range(hashes.size):
            h = hashes[i]
            h = (h ^ (h >> L(47))) * _FACTOR
            hashes[i] = h ^ (h >> L(47))


_hash_32 = Kernel(hash_ids_32, globals(), {"ids": 1, "out": 1}, threshold=_THRESHOLD)
_hash = Kernel(hash_ids, globals(), {"ids": 1, "out": 2}, threshold=_THRESHOLD)
_ngrams = Kernel(hash_ngrams, globals(), {"out": 1}, threshold=_THRESHOLD)


def hash(ids: Any, seed: int, *, nV: int | None) -> Any:
    if sys.byteorder != "little":
        return NotImplemented
    out = np.empty((ids.size, 4), np.uint32)
    _hash.run(ids.size, _words(ids), out.reshape(-1).view(np.uint64), seed ^ 8, nV or 0)
    return out


def hash32(ids: Any, seed: int) -> Any:
    out = np.empty(ids.size, U)
    _hash_32.run(ids.size, _words(ids), out, seed)
    return out


def ngrams(keys: Any, *, n: int) -> Any:
    out = np.empty(max(0, keys.size - (n - 1)), np.uint64)
    _ngrams.run(out.size, _words(keys), out, n)
    return out


def _words(array: Any) -> Any:
    return flat(array).view(np.uint64)


HASHING: Mapping[str, Callable[..., Any]] = {"hash": hash, "hash32": hash32, "ngrams": ngrams}
