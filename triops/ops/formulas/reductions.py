"""One row a sequence: sums, means, maxima, first and last rows.

Sums and maxima come from a scan that doubles its reach: after k rounds a row holds the result of the 2ᵏ rows up
to it that are of its sequence, and in the end a sequence's last row holds all. No array is larger than X. Hillis
and Steele 1986, Data Parallel Algorithms.
"""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula
from triops.ops.formulas.segments import ends_of, rows_at, segments_of, sum_type

__all__ = ["reduce_max", "spread", "sums_of"]

_NAN = float("nan")


@formula
def reduce_sum(xp: Any, X: Any, lengths: Any) -> Any:
    return sums_of(xp, X, lengths).astype(X.dtype)


@formula
def backprop_reduce_sum(xp: Any, d_sums: Any, lengths: Any, *, rows: int) -> Any:
    return spread(xp, d_sums, segments_of(xp, lengths, rows))


@formula
def reduce_mean(xp: Any, X: Any, lengths: Any) -> Any:
    return _over(xp, sums_of(xp, X, lengths), lengths).astype(X.dtype)


@formula
def backprop_reduce_mean(xp: Any, d_means: Any, lengths: Any, *, rows: int) -> Any:
    shares = _over(xp, d_means.astype(sum_type(d_means.dtype)), lengths).astype(d_means.dtype)
    return spread(xp, shares, segments_of(xp, lengths, rows))


@formula
def reduce_max(xp: Any, X: Any, lengths: Any) -> tuple[Any, Any]:
    rows = X.shape[0]
    segments = segments_of(xp, lengths, rows)
    best = X
    where = xp.broadcast_to(xp.arange(rows, dtype="int32")[:, None], X.shape)
    reach = 1
    while reach < rows:
        late, early = best[reach:], best[:-reach]
        # The first of equals stays, and a NaN wins.
        later_wins = (late > early) | ((late != late) & (early == early))
        take = (segments[reach:] == segments[:-reach])[:, None] & ~later_wins
        best = xp.concatenate((best[:reach], xp.where(take, early, late)))
        where = xp.concatenate((where[:reach], xp.where(take, where[:-reach], where[reach:])))
        reach *= 2
    ends = ends_of(xp, lengths)
    sound = _sound(lengths, ends, rows)
    starts = ends - lengths.astype("int32")
    which = rows_at(xp, where, ends - 1) - starts[:, None]
    return xp.where(sound, rows_at(xp, best, ends - 1), _NAN), xp.where(sound, which, 0).astype("int32")


@formula
def backprop_reduce_max(xp: Any, d_maxes: Any, which: Any, lengths: Any, *, rows: int) -> Any:
    segments = segments_of(xp, lengths, rows)
    starts = ends_of(xp, lengths) - lengths.astype("int32")
    winners = rows_at(xp, which.astype("int32") + starts[:, None], segments)
    won = winners == xp.arange(rows, dtype="int32")[:, None]
    return xp.where(won, spread(xp, d_maxes, segments), 0)


@formula
def reduce_first(xp: Any, X: Any, lengths: Any) -> tuple[Any, Any]:
    ends = ends_of(xp, lengths)
    starts_ends = xp.concatenate((xp.zeros(1, dtype="int32"), ends))
    firsts = rows_at(xp, X, starts_ends[:-1])
    return xp.where(_sound(lengths, ends, X.shape[0]), firsts, _NAN), starts_ends


@formula
def backprop_reduce_first(xp: Any, d_firsts: Any, starts_ends: Any, *, rows: int) -> Any:
    return _placed(xp, d_firsts, starts_ends[:-1], rows)


@formula
def reduce_last(xp: Any, X: Any, lengths: Any) -> tuple[Any, Any]:
    ends = ends_of(xp, lengths)
    lasts = ends - 1
    return xp.where(_sound(lengths, ends, X.shape[0]), rows_at(xp, X, lasts), _NAN), lasts


@formula
def backprop_reduce_last(xp: Any, d_lasts: Any, lasts: Any, *, rows: int) -> Any:
    return _placed(xp, d_lasts, lasts, rows)


def sums_of(xp: Any, X: Any, lengths: Any) -> Any:
    """The sum of each sequence's rows, float32 for half precision."""
    rows = X.shape[0]
    segments = segments_of(xp, lengths, rows)
    totals = X.astype(sum_type(X.dtype))
    reach = 1
    while reach < rows:
        same = (segments[reach:] == segments[:-reach])[:, None]
        grown = totals[reach:] + xp.where(same, totals[:-reach], 0)
        totals = xp.concatenate((totals[:reach], grown))
        reach *= 2
    ends = ends_of(xp, lengths)
    sums = xp.where((lengths > 0)[:, None], rows_at(xp, totals, ends - 1), 0)
    return xp.where((ends <= rows)[:, None], sums, _NAN)


def _over(xp: Any, sums: Any, lengths: Any) -> Any:
    return sums / xp.maximum(lengths, 1).astype(sums.dtype)[:, None]


def _sound(lengths: Any, ends: Any, rows: int) -> Any:
    """Whether a sequence has rows, and X has them: where lengths cannot be checked, the result is NaN instead."""
    return ((lengths > 0) & (ends <= rows))[:, None]


def spread(xp: Any, d_reduced: Any, segments: Any) -> Any:
    """For each row what its sequence has, and 0 for a row of no sequence."""
    there = (segments < d_reduced.shape[0])[:, None]
    return xp.where(there, rows_at(xp, d_reduced, segments), 0)


def _placed(xp: Any, d_rows: Any, places: Any, rows: int) -> Any:
    """dX[places[i]] = d_rows[i], for places that grow."""
    if places.shape[0] == 0:
        return xp.zeros((rows, *d_rows.shape[1:]), dtype=d_rows.dtype)
    numbers = xp.arange(rows, dtype="int32")
    sequences = xp.clip(xp.searchsorted(places, numbers, side="left"), 0, places.shape[0] - 1)
    taken = (xp.take(places, sequences) == numbers)[:, None]
    return xp.where(taken, xp.take(d_rows, sequences, axis=0), 0)
