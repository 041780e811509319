"""The sizes that batches of sequences are filled up to: large enough, not much larger, and few."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from triops.models.compile.buckets import Part, Size, Sizes


def of_64(draws: Random) -> list[int]:
    return [draws.randint(5, 40) for _ in range(64)]


def of_a_thousand_words(draws: Random) -> list[int]:
    lengths: list[int] = []
    while sum(lengths) < 1000:
        lengths.append(1 + int(draws.expovariate(0.05)))
    return lengths


def of_any_kind(draws: Random) -> list[int]:
    return [draws.randint(1, draws.choice((2, 9, 200))) for _ in range(draws.choice((1, 2, 7, 30)))]


@pytest.mark.parametrize(("draw", "most"), [(of_64, 12), (of_a_thousand_words, 24), (of_any_kind, 130)])
@pytest.mark.parametrize("matters", [True, False])
def test_sizes_are_enough_and_few(draw: Callable[[Random], list[int]], most: int, matters: bool) -> None:
    draws, sizes, found = Random(1), Sizes(), set()
    for _ in range(300):
        lengths = draw(draws)
        rows, sequences, longest = size = sizes.of([Part(sum(lengths), len(lengths))], max(lengths) * matters)
        assert rows > sequences > len(lengths)
        assert rows - sum(lengths) >= sequences - len(lengths)  # each that is added has a row at least
        if matters:
            assert longest >= max(max(lengths), -(-(rows - sum(lengths)) // (sequences - len(lengths))))
        if len(lengths) > 16:
            assert rows <= 1.25 * sum(lengths)
        found.add(size)
    assert len(found) <= most
    assert len(sizes._known) == len(found)


def test_the_first_size_is_close_and_parts_share_one() -> None:
    sizes = Sizes()
    assert sizes.of([Part(1447, 64)], 40) == Size(1472, 67, 40)
    assert sizes.of([Part(1400, 64)], 38) == Size(1472, 67, 40)
    parts = [Part(50, 3), Part(0, 0), Part(41, 9)]
    size = sizes.of(parts, 30)
    assert size.takes(parts, 30)
    assert size.sequences >= 10
    assert size.rows >= 57


def test_batches_of_about_as_many_words_waste_little() -> None:
    draws, sizes, found, words = Random(1), Sizes(), [], 0
    for _ in range(200):
        lengths: list[int] = []
        while sum(lengths) < draws.randint(1800, 2200):
            lengths.append(1 + int(draws.expovariate(1 / 15)))
        found.append(sizes.of([Part(sum(lengths), len(lengths))], 0))
        words += sum(lengths)
    assert len(set(found)) <= 8
    assert sum(size.rows for size in found) <= 1.06 * words
