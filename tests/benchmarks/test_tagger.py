"""`python -m benchmarks tagger` and `varied` on a text made up for it, and what their batches and tables hold."""

from __future__ import annotations

import gzip
import json
from io import StringIO
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
from rich.console import Console

from benchmarks.tagger.parts import PRODUCTS, Profile
from benchmarks.tagger.table import print_profiles
from benchmarks.tagger.text import Batch, equal_batches, read_text, varied_batches
from tests.benchmarks.command import benchmarks
from tests.models.samples import ops_or_skip

KINDS = {"NOUN": ("cats", "dogs", "trees"), "VERB": ("run", "stand"), "DET": ("the", "all")}


@pytest.fixture
def treebank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draws = Random(1)
    for part, sentences in (("train", 400), ("dev", 30)):
        with gzip.open(tmp_path / f"en_ewt-{part}.conllu.gz", "wt", encoding="utf8") as file:
            for _ in range(sentences):
                for number in range(draws.randint(2, 14)):
                    kind = draws.choice(list(KINDS))
                    file.write(f"{number + 1}\t{draws.choice(KINDS[kind])}\t_\t{kind}\t_\n")
                file.write("\n")
    monkeypatch.setenv("TRIOPS_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.slow  # several programs of a whole tagger are compiled
def test_a_run(treebank: Path) -> None:
    ops_or_skip("jax")
    file = treebank / "found.json"
    done = benchmarks("tagger", "--batches", "8", "--json", str(file), timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    ways = [(row["backend"], row["how"]) for row in found["rows"]]
    assert ways == [
        ("numpy", "compile_step"), ("jax", "compile_step"), ("numpy", "begin_update, finish_update"),
    ]  # fmt: skip
    for row in found["rows"]:
        assert row["words_a_second"] > 0
        assert row["accuracy"] > 0.95  # each word has one tag
    assert [bool(row["programs"]) for row in found["rows"]] == [False, True, False]
    assert len(set(found["batches"])) == 8
    for profile in found["profiles"].values():
        assert profile["parts_s"][PRODUCTS] > 0
        assert profile["rest_s"] == pytest.approx(profile["whole_s"] - sum(profile["parts_s"].values()))
    assert "the whole step" in done.stdout


@pytest.mark.slow
def test_batches_of_all_lengths(treebank: Path) -> None:
    ops_or_skip("jax")
    file = treebank / "found.json"
    done = benchmarks("varied", "--batches", "12", "--json", str(file), timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    varied, fixed = found["rows"]
    assert varied["numbers_of_words"] == 12
    assert 1 <= varied["programs"] <= 8
    assert (fixed["numbers_of_words"], fixed["programs"]) == (1, 1)
    assert found["ratio"] == pytest.approx(varied["words_a_second"] / fixed["words_a_second"])
    assert all(seconds > 0 for seconds in found["step_of_32_parameters_s"].values())
    assert f"{found['step_of_32_parameters_s']['by_hand'] * 1e6:.0f} us" in done.stdout


def test_wrong_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIOPS_DATA", str(tmp_path))
    done = benchmarks("varied")
    assert done.returncode == 2
    assert "set TRIOPS_DATA to the folder of en_ewt-train.conllu.gz" in " ".join(done.stderr.split())


@pytest.mark.usefixtures("treebank")
def test_batches() -> None:
    text = read_text("train")
    assert text.names == sorted(KINDS)
    varied = list(islice(varied_batches(text), 12))
    assert len({len(batch.tags) for batch in varied}) == 12
    for batch in varied:
        assert sum(map(len, batch.sentences)) == len(batch.tags) >= 1800
    for batch in islice(equal_batches(text), 3):
        assert {len(sentence) for sentence in batch.sentences} == {16}
        assert len(batch.tags) == 2000
    held = read_text("dev", [*text.names, "X"])
    assert held.names[-1] == "X"
    assert max(map(max, held.tags)) < len(KINDS)


def test_the_rest_of_a_step_is_shown() -> None:
    profiles = {
        "numpy": Profile({PRODUCTS: 0.03, "softmax": 0.001}, 0.0401, 0.039, "what is left over"),
        "jax": Profile({PRODUCTS: 0.02}, 0.026, 0.025, "nothing"),
    }
    console = Console(width=120, record=True, file=StringIO())
    print_profiles(profiles, Batch([], np.zeros(2000, "int32")), console)
    shown = console.export_text()
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "the rest 9.10 23% 6.00 23%" in lines
    assert "the whole step 40.10 100% 26.00 100%" in lines
    assert "the rest on numpy: what is left over" in shown
