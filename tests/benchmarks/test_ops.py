"""`python -m benchmarks ops`, from outside; and that a wrong result is not passed over."""

from __future__ import annotations

import json
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.ops.case import Case
from benchmarks.ops.cases import CASES
from benchmarks.ops.ceilings import Ceilings
from benchmarks.ops.measure import QUICK, Row, measure
from benchmarks.ops.peers import OURS, Peer
from benchmarks.ops.table import means, print_rows
from tests.benchmarks.command import benchmarks
from triops import get_ops
from triops.bench.cases.arrays import compare_arrays

CEILINGS = Ceilings({2**20: 1e10, 2**24: 5e9}, 1e11)
RELU = next(case for case in CASES if case.name == "relu")


def wrong_peer(name: str, factor: float) -> Peer:
    return Peer(name, "0", lambda case: lambda X: factor * np.maximum(X, 0))


def ours() -> Peer:
    ops = get_ops("numpy")
    return Peer(OURS, "0", lambda case: lambda *arrays: case.triops(ops, *arrays))


def relu_row(*others: Peer) -> Row:
    return measure(RELU, "small", (20, 96), [ours(), *others], CEILINGS, QUICK)


@pytest.mark.slow
def test_a_quick_run(tmp_path: Path) -> None:
    file = tmp_path / "ops.json"
    done = benchmarks("ops", "--quick", "--filter", "relu", "--size", "small", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "4/4 backprop_relu_k 20x96" in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:6]] == [
        "relu", "backprop_relu", "relu_k", "backprop_relu_k",
    ]  # fmt: skip
    assert "geometric mean" in done.stdout
    found = json.loads(file.read_text())
    assert found["all_right"] is True
    for peer, library in (("triops-jax", "jax"), ("thinc", "thinc"), ("torch", "torch"), ("jax-jit", "jax")):
        if find_spec(library) is None:
            assert found["left_out"][peer]
        else:
            assert peer in found["peers"]
    assert found["ceilings"]["gemm_flops_s"] > 0
    assert [(row["op"], row["shape"]) for row in found["rows"]] == [
        ("relu", [20, 96]), ("backprop_relu", [20, 96]), ("relu_k", [20, 96]), ("backprop_relu_k", [20, 96]),
    ]  # fmt: skip
    for row in found["rows"]:
        assert set(row["results"]) == set(found["peers"])
        assert row["share"] > 0
        for result in row["results"].values():
            assert result["call_s"]["median_s"] > 0
            assert result["difference"] < 1e-6
            assert not result["wrong"]
    assert row["bytes_moved"] == 3 * 4 * 20 * 96


def test_wrong_input() -> None:
    done = benchmarks("ops", "--filter", "no such op")
    assert done.returncode == 2
    assert "no op has no such op in its name" in " ".join(done.stderr.replace("│", " ").split())


def test_a_wrong_result_is_marked() -> None:
    row = relu_row(wrong_peer("right", 1.0), wrong_peer("wrong", 0.9))
    assert row.bad
    assert [name for name, result in row.results.items() if result.wrong] == ["wrong"]
    assert row.difference == pytest.approx(0.1)
    assert set(means([row])) == {"right", "wrong"}
    assert means([row])["wrong"] == {}
    console = Console(width=120, record=True, file=StringIO())
    print_rows([row], list(row.results), {"absent": "it is not installed"}, CEILINGS, console)
    shown = console.export_text()
    assert "wrong is wrong in relu 20x96: off by 1e-01" in shown
    assert "absent is not in the table: it is not installed" in shown


def test_a_peer_that_fails_does_not_end_the_run() -> None:
    def fail(X: object) -> None:
        raise ValueError("no kernel")

    row = relu_row(Peer("failing", "0", lambda case: fail))
    assert row.bad
    assert row.results["failing"].error == "ValueError: no kernel"
    assert row.results[OURS].call_s is not None


def test_an_op_that_a_peer_lacks_is_blank() -> None:
    row = relu_row(Peer("lacking", "0", lambda case: None))
    assert set(row.results) == {OURS}
    assert not row.bad


@pytest.mark.parametrize(
    ("result", "difference"), [([1.0, 2.0], 0.0), ([1.0, 1.8], 0.1), ([np.nan, 2.0], np.inf), ([1.0], np.inf)]
)
def test_differences(result: list[float], difference: float) -> None:
    assert compare_arrays([np.array(result)], [np.array([1.0, 2.0])]) == pytest.approx(difference)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_agrees_with_float64(case: Case) -> None:
    shape = case.shapes["small"][0]
    row = measure(case, "small", shape, [ours()], CEILINGS, QUICK)
    assert not row.bad
    assert row.bytes_moved > 0
