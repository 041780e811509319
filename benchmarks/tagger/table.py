"""How the tables look in a terminal. ASCII only, since not every terminal and log shows more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from rich.console import Console

from benchmarks.show import plain_table, widen
from benchmarks.tagger.parts import Profile, ordered
from benchmarks.tagger.text import Batch, Text
from benchmarks.tagger.training import Training
from triops.bench.timing import Spread

__all__ = ["Row", "print_profiles", "print_rows"]


@dataclass
class Row:
    """One way to train, and what came of it. first_s: the seconds of steps that compiled something."""

    backend: str
    how: str
    words_a_second: float
    word_s: Spread | None
    programs: int
    first_s: float
    accuracy: float

    @classmethod
    def of(cls, backend: str, compiled: bool, training: Training, held: Text) -> Self:
        """How a training went."""
        return cls(
            backend,
            "compile_step" if compiled else "begin_update, finish_update",
            training.words_a_second,
            training.word_s,
            training.programs,
            training.first_s,
            training.accuracy(held),
        )


def print_rows(
    rows: Sequence[Row], batches: Sequence[Batch], read_s: float, text: Text, console: Console
) -> None:
    """A row for each way to train."""
    widen(console)
    table = plain_table()
    for heading in ("\nbackend", "\nstep"):
        table.add_column(heading, no_wrap=True)
    for heading in ("words a\nsecond", "\nquartiles", "\nprograms", "first\nsteps, s", "dev words\nright"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        quarters = row.word_s
        between = (
            ""
            if quarters is None
            else f"{1 / quarters.upper_quartile_s:,.0f} to {1 / quarters.lower_quartile_s:,.0f}"
        )
        table.add_row(
            row.backend,
            row.how,
            f"{row.words_a_second:,.0f}",
            between,
            str(row.programs or ""),
            f"{row.first_s:.1f}",
            f"{row.accuracy:.2%}",
        )
    console.print(table)
    console.print()
    sizes = [len(batch.tags) for batch in batches]
    read = sum(map(len, text.sentences))
    for note in (
        f"{len(batches)} batches of {min(sizes):,} to {max(sizes):,} words, no two of as many, {sum(sizes):,} in "
        "all, the same for each, in turns; from arrays of the host to updated weights",
        "words a second: the median of the turns, of which the first steps do not count, nor those that compile "
        "a program, whose seconds are the first steps'",
        f"reading the text and hashing its words, once for all: {read_s:.1f} s, {read / read_s:,.0f} words a "
        "second",
    ):
        console.print(note, soft_wrap=True)
    console.print()


def print_profiles(profiles: Mapping[str, Profile], batch: Batch, console: Console) -> None:
    """What a step consists of, in milliseconds."""
    widen(console)
    table = plain_table()
    table.add_column(f"\na step of {len(batch.tags):,} words", no_wrap=True)
    for name in profiles:
        table.add_column(f"{name},\nms", justify="right", no_wrap=True)
        table.add_column("\nshare", justify="right", no_wrap=True)
    rows = {part: [profile.parts_s.get(part) for profile in profiles.values()] for part in ordered(profiles)}
    rows |= {
        "sum of these": [sum(profile.parts_s.values()) for profile in profiles.values()],
        "the rest": [profile.rest_s for profile in profiles.values()],
        "the whole step": [profile.whole_s for profile in profiles.values()],
        "the same, not watched": [profile.alone_s for profile in profiles.values()],
    }
    for part, seconds in rows.items():
        cells = []
        for profile, each in zip(profiles.values(), seconds, strict=True):
            cells += ["", ""] if each is None else [f"{1e3 * each:.2f}", f"{each / profile.whole_s:.0%}"]
        table.add_row(part, *cells)
    console.print(table)
    console.print()
    for name, profile in profiles.items():
        console.print(f"the rest on {name}: {profile.rest}", soft_wrap=True)
