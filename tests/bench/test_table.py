"""The tables fit 80 columns, and say what is to be said."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from tests.bench.test_results import NUMPY, RESULTS
from triops.bench.results import Results
from triops.bench.table import print_results
from triops.bench.timing import Spread

FAST = replace(NUMPY, device="cuda:0", first_step_s=12.3, step_s=Spread(8.5e-5, 8e-5, 9e-5, 9), speed=4.71)


def printed(results: Results, width: int = 80) -> str:
    file = StringIO()
    print_results(Console(file=file, width=width, markup=False, highlight=False), results)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_one_aligned_table(width: int) -> None:
    results = replace(RESULTS, rows=(NUMPY, replace(FAST, backend="cupy", samples_per_s=12_345_678.0)))
    lines = printed(results, width).splitlines()
    assert all(len(line) <= width for line in lines)
    heading = next(i for i, line in enumerate(lines) if line.startswith("backend"))
    table = lines[heading - 1 : heading + 3]
    assert len({len(line.rstrip()) for line in table}) == 1  # the last column is aligned to the right
    assert table[2].split() == ["numpy", "cpu:0", "2.00", "0.400", "320,000", "1.00", "98.3%", "6.7e-07"]
    assert table[3].split() == ["cupy", "cuda:0", "12300", "0.085", "12,345,678", "4.71", "98.3%", "6.7e-07"]
    assert "…" not in "".join(table)


def test_a_failed_row_has_its_reason() -> None:
    text = " ".join(printed(RESULTS).split())
    assert "jax cuda:0 - - - - failed -" in text
    assert "jax cuda:0 failed after 3 steps: RuntimeError: out of memory" in text


def test_what_is_left_out_says_why_and_what_to_install() -> None:
    text = " ".join(printed(RESULTS).split())
    assert "cupy is not in the table: it needs a GPU: pip install 'triops[cupy-cuda13x]'" in text


def test_a_run_that_was_stopped_unsteady_or_on_a_busy_machine_says_so() -> None:
    text = " ".join(printed(replace(RESULTS, rows=(replace(NUMPY, steps=7),))).split())
    assert "numpy cpu:0 was stopped after 7 of 1100 steps" in text
    unsteady = replace(NUMPY, step_s=Spread(0.0004, 0.0003, 0.0005, 9))
    text = " ".join(printed(replace(RESULTS, rows=(unsteady,))).split())
    assert "numpy cpu:0 was unsteady: the middle half of its steps took 0.300 to 0.500 ms" in text
    assert "busy" not in text
    assert "load 3.5 on 4 cores" in " ".join(printed(replace(RESULTS, load_average=3.5)).split())
