"""`python -m benchmarks spacy`, from outside; and that other results are not passed over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

pytest.importorskip("spacy")
from benchmarks.spacy.measure import Measured
from benchmarks.spacy.run import print_rows
from triops.bench.timing import Spread

ROOT = Path(__file__).parents[2]


def benchmarks(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "spacy", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif("TRIOPS_DATA" not in os.environ, reason="TRIOPS_DATA names no folder with text")
def test_a_quick_run(tmp_path: Path) -> None:
    done = benchmarks("--quick", "--json", str(tmp_path / "spacy.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "spacy.json").read_text())
    assert found["all_right"]
    assert [(row["pipeline"], row["task"]) for row in found["rows"]] == [
        (name, task) for name in ("tagger", "textcat") for task in ("nlp.update", "nlp.pipe")
    ]
    assert all(row["words"] > 500 and row["gain"] > 0 for row in found["rows"])


@pytest.mark.slow
def test_wrong_input() -> None:
    for done in (benchmarks("--filter", "no such pipeline"), benchmarks("--quick", TRIOPS_DATA="")):
        assert done.returncode == 2


def test_what_differs_is_said() -> None:
    call_s = {"thinc": Spread(2.0, 2.0, 2.0, 3), "triops": Spread(0.5, 0.5, 0.5, 3)}
    console = Console(width=120, record=True, file=StringIO())
    print_rows([Measured("tagger", "nlp.pipe", 100, call_s, ["3 of 9 predictions differ"])], console)
    shown = console.export_text()
    assert "4.00!" in shown
    assert "tagger, nlp.pipe: 3 of 9 predictions differ" in shown
