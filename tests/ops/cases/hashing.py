"""Hashes, against their definitions in Python integers, over bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.cases.case import BadCall, OpCase, Sample
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES"]

LONG, WORD = 2**64, 2**32


def murmur3_x64_128(data: bytes, seed: int) -> tuple[int, int]:
    """MurmurHash3 x64_128 of any bytes, with its loop over blocks of 16 and its tail."""

    def rotl(x: int, by: int) -> int:
        return (x << by | x >> (64 - by)) % LONG

    def fmix(k: int) -> int:
        k = (k ^ k >> 33) * 0xFF51AFD7ED558CCD % LONG
        k = (k ^ k >> 33) * 0xC4CEB9FE1A85EC53 % LONG
        return k ^ k >> 33

    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = seed
    whole = len(data) // 16 * 16
    for at in range(0, whole, 16):
        k1, k2 = (int.from_bytes(data[place : place + 8], "little") for place in (at, at + 8))
        h1 ^= rotl(k1 * c1 % LONG, 31) * c2 % LONG
        h1 = ((rotl(h1, 27) + h2) * 5 + 0x52DCE729) % LONG
        h2 ^= rotl(k2 * c2 % LONG, 33) * c1 % LONG
        h2 = ((rotl(h2, 31) + h1) * 5 + 0x38495AB5) % LONG
    k1, k2 = (int.from_bytes(data[place : place + 8], "little") for place in (whole, whole + 8))
    h2 ^= rotl(k2 * c2 % LONG, 33) * c1 % LONG
    h1 ^= rotl(k1 * c1 % LONG, 31) * c2 % LONG
    h1, h2 = h1 ^ len(data), h2 ^ len(data)
    h1 = (h1 + h2) % LONG
    h2 = (h2 + h1) % LONG
    h1, h2 = fmix(h1), fmix(h2)
    h1 = (h1 + h2) % LONG
    return h1, (h2 + h1) % LONG


def murmur3_x86_32(data: bytes, seed: int) -> int:
    """MurmurHash3 x86_32 of whole words of 4 bytes."""

    def rotl(x: int, by: int) -> int:
        return (x << by | x >> (32 - by)) % WORD

    h = seed
    for at in range(0, len(data), 4):
        k = int.from_bytes(data[at : at + 4], "little")
        h ^= rotl(k * 0xCC9E2D51 % WORD, 15) * 0x1B873593 % WORD
        h = (rotl(h, 13) * 5 + 0xE6546B64) % WORD
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B % WORD
    h = (h ^ h >> 13) * 0xC2B2AE35 % WORD
    return h ^ h >> 16


def murmur_64a(data: bytes) -> int:
    """MurmurHash64A with seed 0, of whole words."""
    m = 0xC6A4A7935BD1E995
    h = len(data) * m % LONG
    for at in range(0, len(data), 8):
        k = int.from_bytes(data[at : at + 8], "little") * m % LONG
        h = (h ^ (k ^ k >> 47) * m % LONG) * m % LONG
    h = (h ^ h >> 47) * m % LONG
    return h ^ h >> 47


def _bytes(key: int) -> bytes:
    return (key % LONG).to_bytes(8, "little")


def hash(ids: Any, seed: int, nV: int = WORD) -> Any:
    pairs = [murmur3_x64_128(_bytes(key), seed) for key in ids.tolist()]
    words = [[word % nV for h in pair for word in (h % 2**32, h >> 32)] for pair in pairs]
    return np.array(words, dtype="uint32").reshape(len(words), 4)


def hash32(ids: Any, seed: int) -> Any:
    return np.array([murmur3_x86_32(_bytes(key), seed) for key in ids.tolist()], dtype="uint32")


def ngrams(n: int, keys: Any) -> Any:
    words = [_bytes(key) for key in keys.tolist()]
    grams = [b"".join(words[i : i + n]) for i in range(max(0, len(words) - n + 1))]
    return np.array([murmur_64a(gram) for gram in grams], dtype="uint64")


def _keys(rng: np.random.Generator, count: int) -> Any:
    return rng.integers(0, LONG, count, dtype="uint64")


EDGES = np.array([0, 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, LONG - 1], dtype="uint64")
SIGNED = np.array([0, -1, -(2**63), 2**63 - 1, -(2**32)], dtype="int64")


def _inputs(rng: np.random.Generator) -> dict[str, tuple[Any, dict[str, Any]]]:
    return {
        "typical": (_keys(rng, 17), {}),
        "one row": (_keys(rng, 1), {}),
        "empty": (_keys(rng, 0), {}),
        "many": (_keys(rng, 4099), {}),
        "signed": (SIGNED, {}),
        "transposed": (_keys(rng, 7), {"layout": transposed}),
        "strided": (_keys(rng, 7), {"layout": strided}),
        "mixed": (_keys(rng, 7), {"layout": mixed}),
        "strided and signed": (SIGNED, {"layout": strided}),
        "extreme": (EDGES, {}),
    }


def _hash_samples(rng: np.random.Generator) -> dict[str, Sample]:
    samples = {label: Sample((ids, 3), **how) for label, (ids, how) in _inputs(rng).items()}
    return samples | {f"seed {seed}": Sample((EDGES, seed)) for seed in (0, 8, 2**31, 2**32 - 1)}


def _row_samples(rng: np.random.Generator) -> dict[str, Sample]:
    sizes = (1, 2, 3, 1000, 20_011, 2**31 - 1, 2**31, 2**32 - 1)
    return _hash_samples(rng) | {f"nV {nV}": Sample((_keys(rng, 301), 3, nV)) for nV in sizes}


def _ngrams_samples(rng: np.random.Generator) -> dict[str, Sample]:
    samples = {label: Sample((2, keys), **how) for label, (keys, how) in _inputs(rng).items()}
    return samples | {f"n {n}": Sample((n, EDGES)) for n in (1, 3, 8, 9, 100)}


ids = np.ones(3, "uint64")
BAD_ROWS = tuple(
    BadCall(f"nV {nV}", (ids, 0, nV), ArgumentError, "nV must be None or an integer from 1 to 4294967295, got")
    for nV in (0, -1, 2**32, 1.5)
)

CASES = (
    *(
        OpCase(
            op,
            oracle,
            samples,
            (
                *bad,
                *(
                    BadCall(
                        f"seed {seed}", (ids, seed), ArgumentError, "seed must be an integer from 0 to 4294967295"
                    )
                    for seed in (-1, 2**32, 1.5, None)
                ),
                BadCall("a matrix", (ids[None], 0), ShapeError, "ids must have 1 dimension, got"),
                BadCall("floats", (ids.astype("float32"), 0), DTypeError, "or int64, got float32: convert"),
                BadCall("short", (ids.astype("int32"), 0), DTypeError, "ids must be .* or int64, got int32"),
            ),
        )
        for op, oracle, samples, bad in (
            ("hash", hash, _row_samples, BAD_ROWS),
            ("hash32", hash32, _hash_samples, ()),
        )
    ),
    OpCase(
        "ngrams",
        ngrams,
        _ngrams_samples,
        (
            *(
                BadCall(f"n {n}", (n, ids), ArgumentError, "n must be an integer from 1, got")
                for n in (0, -1, 1.5, None)
            ),
            BadCall("a matrix", (1, ids[None]), ShapeError, "keys must have 1 dimension, got"),
            BadCall(
                "short", (1, ids.astype("uint32")), DTypeError, "keys must be .* uint64 or int64, got uint32"
            ),
        ),
    ),
)
