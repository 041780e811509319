"""Medians and what is known of them. Intervals come from the order of the values alone, so that they hold
whatever the times are distributed like: skewed, in two heaps, with stragglers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from statistics import median

__all__ = ["CONFIDENCE", "Interval", "count_outliers", "geometric_mean", "median_interval", "ratio_interval"]

CONFIDENCE = 0.95
_FAR = 3.0  # times the distance of the quartiles
_FAR_AT_LEAST = 1.05

Interval = tuple[float, float]


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """What lies around the median of all values that could have been drawn, with that confidence: between two of
    those that were. None where they are too few, which five are for 95%.

    The k-th lowest of n values is above the median with the chance of fewer than k heads in n throws of a coin.
    """
    ordered, n = sorted(values), len(values)
    best: Interval | None = None
    below = 0.0
    for k in range(n // 2):
        below += math.comb(n, k) / 2**n
        if 1 - 2 * below < confidence:
            break
        best = ordered[k], ordered[n - 1 - k]
    return best


def ratio_interval(
    ones: Sequence[float], others: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, Interval | None]:
    """By which factor `others` are longer than `ones`: the median of the ratios of all pairs, and its interval,
    None where there are too few for that confidence. Hodges and Lehmann 1963, Estimates of Location Based on Rank
    Tests, on logarithms; the interval inverts the test of Mann and Whitney 1947."""
    ratios = sorted(math.log(b) - math.log(a) for a in ones for b in others)
    estimate = math.exp(median(ratios))
    counts = _orders(len(ones), len(others))
    total, below, k = sum(counts), 0, 0
    while k < len(counts) // 2 and 1 - 2 * (below + counts[k]) / total >= confidence:
        below += counts[k]
        k += 1
    if k == 0:
        return estimate, None
    return estimate, (math.exp(ratios[k - 1]), math.exp(ratios[-k]))


def geometric_mean(ratios: Iterable[float]) -> float:
    """exp of the mean of the logarithms."""
    logs = [math.log(ratio) for ratio in ratios]
    return math.exp(math.fsum(logs) / len(logs))


def count_outliers(values: Sequence[float]) -> int:
    """How many values lie far above the others: three times as far over the upper quartile as it is from the
    lower, and more than a twentieth."""
    ordered = sorted(values)
    lower, upper = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    far = max(upper + _FAR * (upper - lower), _FAR_AT_LEAST * upper)
    return sum(value > far for value in values)


@cache
def _orders(m: int, n: int) -> tuple[int, ...]:
    """In how many orders of m and n values u of their pairs are the wrong way round, for u from 0 to mn."""
    if m == 0 or n == 0:
        return (1,)
    # The highest value is one of the m, over all n, or one of the n.
    with_m, with_n = _orders(m - 1, n), _orders(m, n - 1)
    counts = [0] * (m * n + 1)
    for u, count in enumerate(with_m):
        counts[u + n] += count
    for u, count in enumerate(with_n):
        counts[u] += count
    return tuple(counts)
