"""The spaCy pipelines learn from the first texts what they need for most others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytest.importorskip("spacy")


def run(script: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / script), *args]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


@pytest.mark.slow
@pytest.mark.skipif("TRIOPS_DATA" not in os.environ, reason="TRIOPS_DATA names no folder with the treebank")
def test_the_tagger_learns() -> None:
    done = run("spacy_tagger.py", "--sentences", "1500", "--epochs", "3")
    assert done.returncode == 0, done.stderr
    right = [float(found) for found in re.findall(r"([\d.]+)% of the tags right", done.stdout)]
    assert right == sorted(right)
    assert right[-1] > 70
    assert "the/DT" in done.stdout


@pytest.mark.parametrize("model", ["triops", "own"])
@pytest.mark.skipif("TRIOPS_DATA" not in os.environ, reason="TRIOPS_DATA names no folder with the messages")
def test_the_text_categoriser_learns(model: str) -> None:
    done = run("spacy_textcat.py", "--model", model, "--messages", "1500", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    found = [float(share) for share in re.findall(r"([\d.]+)% of spam is found", done.stdout)]
    assert found[-1] > 75
    spam, ham = (float(line.split()[0]) for line in done.stdout.splitlines()[-2:])
    assert spam > 0.8 > 0.2 > ham


@pytest.mark.parametrize("script", ["spacy_tagger.py", "spacy_textcat.py"])
def test_without_the_text_it_says_what_it_needs(script: str) -> None:
    done = run(script, TRIOPS_DATA="")
    assert done.returncode == 1
    assert done.stderr.startswith("set TRIOPS_DATA to the folder of ")
