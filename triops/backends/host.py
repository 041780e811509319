"""What every backend takes from the host: random draws, and arrays out of bytes. Draws made here are the
same bits whatever device they end up on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from triops.types import Shape

__all__ = [
    "as_host_array",
    "as_scalar",
    "draw_normal",
    "draw_permutation",
    "draw_uniform",
    "dtype_name",
    "from_bytes",
    "item_size",
    "namespace",
    "packed_order",
    "padded_order",
    "padding",
    "position_encode",
    "unpadding",
]


def draw_uniform(seed: int, shape: Shape, lo: float, hi: float) -> Any:
    """float64 draws from [lo, hi)."""
    return _generator(seed).uniform(lo, hi, tuple(shape))


def draw_normal(seed: int, shape: Shape, mean: float, scale: float) -> Any:
    """float64 draws from N(mean, scale²)."""
    return _generator(seed).normal(mean, scale, tuple(shape))


def draw_permutation(seed: int, n: int) -> Any:
    """The numbers 0 to n-1 in random order, as int64."""
    return _generator(seed).permutation(n)


def position_encode(N: int, D: int, period: float) -> Any:
    """float64 sines in even columns, cosines in odd ones."""
    # An odd last column has the wavelength of the pair before it, as it has in Thinc.
    even = np.minimum(np.arange(D) // 2 * 2, max(D // 2 * 2 - 2, 0))
    angles = np.arange(N, dtype="float64")[:, None] / float(period) ** (2 * even / max(D, 1))
    return np.where(np.arange(D) % 2 == 0, np.sin(angles), np.cos(angles))


namespace = np


def padding(lengths: Any, order: Any = None) -> tuple[Any, Any, Any, Any]:
    """Where the rows of sequences that lie one after another go when they lie side by side by step: the order of
    the sequences (the longest first, of equals the last first, where none is given), how many are longer than
    each step, their lengths in that order, and (L, N) rows to take, the number of rows where there is none."""
    counts = np.asarray(lengths, np.int64).reshape(-1)
    order = np.lexsort((np.arange(len(counts)), counts))[::-1] if order is None else np.asarray(order, np.int64)
    falling = counts[order]
    steps = np.arange(falling.max(initial=0))
    sizes = np.searchsorted(-falling, -steps, side="left")
    starts = (np.cumsum(counts) - counts)[order]
    rows = np.where(steps[:, None] < falling, starts + steps[:, None], counts.sum())
    return order, sizes, falling, rows


def unpadding(lengths: Any, indices: Any) -> tuple[Any, Any]:
    """The way back: the lengths in the old order, and which rows of (L N) to take."""
    columns = np.argsort(indices)
    counts = np.asarray(lengths, np.int64)[columns]
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return counts, steps * len(counts) + np.repeat(columns, counts)


def packed_order(lengths: Any) -> tuple[Any, Any, Any]:
    """How sequences that lie one after another are packed by step, the longest first: how many there are at each
    step, the row that each packed row is, and the packed row that each row is."""
    counts = np.asarray(lengths, dtype="int64").reshape(-1)
    order = np.argsort(-counts, kind="stable")
    steps = np.arange(counts.max(initial=0))
    step, sequence = np.nonzero(steps[:, None] < counts[order])
    rows = (np.cumsum(counts) - counts)[order][sequence] + step
    back = np.empty_like(rows)
    back[rows] = np.arange(len(rows))
    return np.bincount(step, minlength=len(steps)).astype("int32"), rows.astype("int32"), back.astype("int32")


def padded_order(size_at_t: Any, count: int) -> tuple[Any, Any]:
    """Of sequences side by side by step: the entry that each packed row is, and the packed row of each entry, the
    one after the last where an entry is padding."""
    there = (np.arange(count) < np.asarray(size_at_t)[:, None]).reshape(-1)
    rows = np.flatnonzero(there)
    back = np.where(there, np.cumsum(there) - 1, len(rows))
    return rows.astype("int32"), back.astype("int32")


def item_size(dtype: Any) -> int:
    """Bytes of one entry."""
    return int(np.dtype(dtype).itemsize)


def from_bytes(data: bytes, dtype: str, shape: Sequence[int]) -> Any:
    """Little-endian bytes as a read-only NumPy array."""
    little = np.dtype(dtype).newbyteorder("<")
    array = np.frombuffer(data, dtype=little).reshape(tuple(shape))
    return array.astype(little.newbyteorder("="), copy=False)


def as_host_array(data: Any, dtype: Any = None) -> Any:
    """Nested sequences or any array that offers DLPack or the buffer protocol, as NumPy. Raises TypeError
    where it holds anything but numbers, which NumPy would parse, or turn into NaN, given a dtype, and where
    entries are masked, which NumPy would take for values."""
    if hasattr(data, "get") and hasattr(data, "device") and not isinstance(data, np.ndarray):
        data = data.get()  # CuPy refuses the implicit copy to the host that numpy.asarray asks for
    if isinstance(data, np.ndarray) and np.any(getattr(data, "mask", False)):
        raise TypeError("entries are masked: fill them first, as in data.filled(0)")
    array = np.asarray(data)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"{type(data).__name__} of {array.dtype}: turn strings into ids first")
    if not array.dtype.isnative:  # as files of other machines have it
        array = array.astype(array.dtype.newbyteorder("="))
    return array if dtype is None else array.astype(dtype, copy=False)


@cache
def dtype_name(dtype: Any) -> str:
    """`float32` for that name, for a framework's type of that name, and for an array's dtype."""
    return str(np.dtype(dtype))


def as_scalar(value: int, dtype: str) -> Any:
    """A NumPy scalar, which every framework takes as a number of that width."""
    return _scalar_type(dtype)(value)


@cache
def _scalar_type(dtype: str) -> type:
    return np.dtype(dtype).type


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))
