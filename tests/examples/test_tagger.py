"""The tagger learns from the first sentences of the treebank what it needs for most words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "tagger.py"


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *args]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


@pytest.mark.skipif("TRIOPS_DATA" not in os.environ, reason="TRIOPS_DATA names no folder with the treebank")
def test_it_learns() -> None:
    done = run("--sentences", "1500", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    right = [float(found) for found in re.findall(r"([\d.]+)% of 25,1\d\d words right", done.stdout)]
    assert len(right) == 2
    assert right[0] < right[1]
    assert right[1] > 75


def test_without_the_treebank_it_says_what_it_needs() -> None:
    done = run(TRIOPS_DATA="")
    assert done.returncode == 1
    assert done.stderr == "set TRIOPS_DATA to the folder of en_ewt-train.conllu.gz and en_ewt-dev.conllu.gz\n"
