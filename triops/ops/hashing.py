"""Hashes of ids, bit for bit the same on every backend."""

from __future__ import annotations

from operator import index
from typing import Any

from triops.errors import ArgumentError, DTypeError
from triops.ops.base import OpsBase
from triops.types import Array, Ints1d, Ints2d

__all__ = ["HashingOps"]

_WORD = 2**32


class HashingOps(OpsBase):
    """hash, hash32 and ngrams."""

    def hash(self, ids: Ints1d, seed: int, nV: int | None = None) -> Ints2d:
        """Four 32-bit hashes of each 64-bit id: MurmurHash3 x64_128 of its 8 bytes in little-endian order, cut
        into words with the lowest first. Appleby 2011, SMHasher; the same bits as Thinc's.

        ids: (N,) uint64, or int64, whose bits are read as uint64. seed: from 0 to 2³²-1. nV: where it is given,
        from 1 to 2³²-1, hashes modulo nV, as rows of a table. Returns (N, 4) uint32. Raises DTypeError for ids of
        another dtype, ArgumentError for a seed or nV out of range.
        """
        given = self._seeded("hash", ids, seed)
        if nV is not None and not (hasattr(nV, "__index__") and 0 < index(nV) < _WORD):
            raise ArgumentError(f"hash: nV must be None or an integer from 1 to {_WORD - 1}, got {nV!r}")
        keys: Ints2d = self._kernels["hash"](ids, given, nV=None if nV is None else index(nV))
        return keys

    def hash32(self, ids: Ints1d, seed: int) -> Ints1d:
        """One 32-bit hash of each 64-bit id: MurmurHash3 x86_32 of its 8 bytes in little-endian order. Appleby
        2011, SMHasher; the same bits as Thinc's SparseLinear takes.

        ids: (N,) uint64, or int64, whose bits are read as uint64. seed: from 0 to 2³²-1. Returns (N,) uint32.
        Raises DTypeError for ids of another dtype, ArgumentError for a seed out of range.
        """
        hashes: Ints1d = self._kernels["hash32"](ids, self._seeded("hash32", ids, seed))
        return hashes

    def ngrams(self, n: int, keys: Ints1d) -> Ints1d:
        """Y[i], one hash of keys[i] to keys[i+n-1]: MurmurHash64A, seed 0, of their bytes in little-endian
        order. Appleby 2008, MurmurHash2; the same bits as Thinc's.

        n: from 1. keys: (N,) uint64, or int64, whose bits are read as uint64. Returns Y: (N-n+1,) uint64,
        empty where n is more than N. Raises ArgumentError for n below 1, DTypeError for keys of another dtype.
        """
        if not hasattr(n, "__index__") or index(n) < 1:
            raise ArgumentError(f"ngrams: n must be an integer from 1, got {n!r}")
        self._longs("ngrams", "keys", keys)
        hashes: Ints1d = self._kernels["ngrams"](keys, n=index(n))
        return hashes

    def _seeded(self, op: str, ids: Ints1d, seed: int) -> Any:
        self._longs(op, "ids", ids)
        if not hasattr(seed, "__index__") or not 0 <= index(seed) < _WORD:
            raise ArgumentError(f"{op}: seed must be an integer from 0 to {_WORD - 1}, got {seed!r}")
        return self.backend.word(index(seed))

    def _longs(self, op: str, argument: str, array: Array) -> None:
        dtype = array.dtype if type(array) in self._owned_types else None
        if dtype is not None and dtype.itemsize == 8 and dtype.kind in "iu" and array.ndim == 1:
            return
        self.check_owner(op, argument, array)
        if array.dtype.kind not in "iu" or array.dtype.itemsize != 8:
            raise DTypeError(
                f"{op}: {argument} must be an array of uint64 or int64, got {array.dtype}: convert it with "
                f"ops.asarray({argument}, dtype='uint64')"
            )
        self._rank(op, argument, array, 1)
