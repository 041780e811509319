"""Intervals hold what they promise, on times that nothing is known of."""

import math
from itertools import combinations
from random import Random

import pytest

from triops.bench.stats import _orders, count_outliers, geometric_mean, median_interval, ratio_interval


def test_too_few_values_know_nothing() -> None:
    assert median_interval([]) is None
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert median_interval([5.0, 1.0, 4.0, 2.0, 3.0, 6.0]) == (1.0, 6.0)
    assert ratio_interval([1.0], [2.0]) == (2.0, None)


@pytest.mark.parametrize("n", [6, 9, 20])
def test_the_interval_holds_the_median_as_often_as_it_says(n: int) -> None:
    random = Random(n)
    hits = 0
    for _ in range(4000):
        interval = median_interval([random.expovariate(1.0) for _ in range(n)])
        assert interval is not None
        hits += interval[0] <= math.log(2) <= interval[1]
    assert 0.945 < hits / 4000 < 0.985


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (4, 4)])
def test_orders_are_counted_as_by_hand(m: int, n: int) -> None:
    counts = [0] * (m * n + 1)
    for places in combinations(range(m + n), m):
        others = set(range(m + n)) - set(places)
        counts[sum(place > other for place in places for other in others)] += 1
    assert _orders(m, n) == tuple(counts)


@pytest.mark.parametrize("n", [6, 9])
def test_the_ratio_is_held_as_often_as_it_says(n: int) -> None:
    random = Random(n)
    hits = 0
    for _ in range(2000):
        ones = [random.lognormvariate(0, 0.1) for _ in range(n)]
        others = [1.15 * random.lognormvariate(0, 0.1) for _ in range(n)]
        estimate, interval = ratio_interval(ones, others)
        assert interval is not None
        assert interval[0] <= estimate <= interval[1]
        hits += interval[0] <= 1.15 <= interval[1]
    assert 0.94 < hits / 2000 < 0.985


def test_a_ratio_turned_round_is_its_inverse() -> None:
    ones, others = [1.0, 1.1, 1.2, 1.3, 0.9, 1.0], [2.0, 2.2, 2.1, 1.9, 2.3, 2.4]
    there, there_interval = ratio_interval(ones, others)
    back, back_interval = ratio_interval(others, ones)
    assert there_interval is not None
    assert back_interval is not None
    assert there == pytest.approx(1 / back)
    assert there_interval == pytest.approx((1 / back_interval[1], 1 / back_interval[0]))


def test_outliers_are_far_above_the_others() -> None:
    assert count_outliers([1.0] * 20) == 0
    assert count_outliers([1.0, 1.01, 0.99, 1.0, 1.02, 1.0, 0.98, 1.0, 3.0]) == 1
    assert count_outliers([1.0]) == 0


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert geometric_mean([3.0]) == pytest.approx(3.0)
