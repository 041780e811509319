"""`python -m benchmarks train`, from outside; and that a run that goes another way is not passed over."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.ops.ceilings import Ceilings
from benchmarks.train.agreement import Course, difference, follow
from benchmarks.train.measure import QUICK, Row, measure
from benchmarks.train.mlp import MLP
from benchmarks.train.peers import OURS, Peer, load_peers
from benchmarks.train.table import means, print_rows
from benchmarks.train.task import Task
from benchmarks.train.tasks import TASKS
from benchmarks.train.with_layers import triops_trainer
from tests.benchmarks.command import benchmarks

CEILINGS = Ceilings({2**20: 1e10, 2**24: 5e9}, 1e11)


def ours(task: Task, problem: Any) -> Any:
    return triops_trainer("numpy", task, problem)


class Altered:
    """triops, with something wrong."""

    def __init__(self, task: Task, problem: Any, forget: str = "", shift: float = 0.0) -> None:
        self._trainer = ours(task, problem)
        self._before, self._forget, self._shift = problem.weights, forget, shift
        self.step, self.wait = self._trainer.step, self._trainer.wait

    def loss(self) -> float:
        return self._trainer.loss() * (1 + self._shift)

    def weights(self) -> dict[str, Any]:
        kept = {name: array for name, array in self._before.items() if name == self._forget}
        return self._trainer.weights() | kept


def mlp_row(**starts: Any) -> Row:
    peers = [Peer(OURS, "0", "triops", ours)]
    peers += [Peer(name, "0", "triops", start) for name, start in starts.items()]
    return measure(MLP, "small", peers, CEILINGS, QUICK)


@pytest.mark.slow  # torch.compile has a C++ compiler at work
def test_a_quick_run(tmp_path: Path) -> None:
    file = tmp_path / "train.json"
    done = benchmarks("train", "--quick", "--filter", "mlp", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "1/1 mlp" in done.stderr
    assert done.stdout.splitlines()[2].split()[0] == "mlp"
    found = json.loads(file.read_text())
    assert found["all_right"] is True
    for peer, library in (("triops-jax", "jax"), ("thinc", "thinc"), ("torch", "torch"), ("jax-by-hand", "jax")):
        if find_spec(library) is None:
            assert found["left_out"][peer]
        else:
            assert peer in found["peers"]
    (row,) = found["rows"]
    assert row["extents"] == {"rows": 16, "nI": 20, "width": 12, "classes": 5}
    assert row["flops"] == 2 * 16 * (2 * 20 * 12 + 3 * 12 * 12 + 3 * 12 * 5)
    assert set(row["results"]) == set(found["peers"])
    for result in row["results"].values():
        assert result["call_s"]["median_s"] > 0
        assert result["share"] == pytest.approx(row["floor_s"] / result["call_s"]["median_s"])
        assert result["difference"] < 1e-2
        assert not result["wrong"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
def test_memory(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    done = benchmarks("train", "--memory", "--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["task"] == "tagger"
    assert found["peak_bytes"][OURS] >= 0
    assert set(found["left_out"]) >= {"triops-jax", "torch-compile", "jax-by-hand"}


def test_wrong_input() -> None:
    done = benchmarks("train", "--filter", "no such task")
    assert done.returncode == 2
    assert "no task has no such task in its name" in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "task",
    [pytest.param(task, id=task.name, marks=[pytest.mark.slow] * (task.name != "mlp")) for task in TASKS],
)
def test_every_peer_goes_the_same_way(task: Task) -> None:
    peers = [peer for peer in load_peers()[0] if peer.name != "torch-compile"]
    row = measure(task, "small", peers, CEILINGS, QUICK)
    assert not row.bad, row
    assert set(row.results) | set(row.absent) == {peer.name for peer in peers}
    assert all(result.call_s is not None and result.share for result in row.results.values())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_loss_falls(task: Task) -> None:
    problem = task.problem(**task.sizes["small"])
    trainer = next(
        peer.start(task, problem) for peer in load_peers()[0] if getattr(task, peer.library) is not None
    )
    losses = follow(trainer, problem, steps=10).losses
    assert losses == sorted(losses, reverse=True)


def test_a_wrong_run_is_marked() -> None:
    row = mlp_row(
        right=ours,
        forgetful=lambda task, problem: Altered(task, problem, forget="second_b"),
        shifted=lambda task, problem: Altered(task, problem, shift=0.01),
    )
    assert row.bad
    assert [name for name, result in row.results.items() if result.wrong] == ["forgetful", "shifted"]
    assert row.results["forgetful"].difference == pytest.approx(1.0)
    assert row.results["shifted"].difference == np.inf
    assert set(means([row])) == {"right"}
    console = Console(width=120, record=True, file=StringIO())
    print_rows([row], [MLP], list(row.results), {"absent": "it is not installed"}, CEILINGS, console)
    shown = console.export_text()
    assert "forgetful is wrong in mlp: off by 1e+00" in shown
    assert "absent is not in the table: it is not installed" in shown


def test_a_peer_that_fails_does_not_end_the_run() -> None:
    def fail(task: Task, problem: Any) -> Any:
        raise ValueError("no such layer")

    row = mlp_row(failing=fail)
    assert row.bad
    assert row.results["failing"].error == "ValueError: no such layer"
    assert row.results[OURS].call_s is not None


def test_a_task_that_a_library_lacks() -> None:
    task = replace(MLP, triops=None, thinc=None, absent={"thinc": "it has no such layer"})
    peers = [Peer(OURS, "0", "triops", ours), Peer("thinc", "0", "thinc", ours)]
    row = measure(task, "small", peers, CEILINGS, QUICK)
    assert not row.bad
    assert row.absent == {OURS: "not yet", "thinc": "it has no such layer"}
    console = Console(width=120, record=True, file=StringIO())
    print_rows([row], [task], [OURS, "thinc"], {}, CEILINGS, console)
    assert "thinc is not in mlp: it has no such layer" in console.export_text()


@pytest.mark.parametrize(
    ("losses", "move", "forward_only", "expected"),
    [
        ([2.0, 1.0], [3.0, 4.0], False, 0.0),
        ([2.0, 1.0], [3.0, 4.5], False, 0.1),
        ([2.0, 1.1], [3.0, 4.0], False, np.inf),
        ([2.0, 1.1], [0.0, 0.0], True, 0.0),
        ([2.2, 1.0], [3.0, 4.0], True, np.inf),
        ([2.0, 1.0], [np.nan, 4.0], False, np.inf),
        ([np.nan, 1.0], [3.0, 4.0], False, np.inf),
    ],
)
def test_differences(losses: list[float], move: list[float], forward_only: bool, expected: float) -> None:
    reference = Course([2.0, 1.0], {"W": np.array([3.0, 4.0])})
    found = difference(Course(losses, {"W": np.array(move)}), reference, forward_only=forward_only)
    assert found == pytest.approx(expected)


def test_no_number_among_numbers() -> None:
    reference = Course([1.0], {name: np.ones(2) for name in "ab"})
    assert difference(Course([1.0], {"a": np.ones(2) + 0.1, "b": np.full(2, np.nan)}), reference) == np.inf


def test_a_parameter_that_must_not_move() -> None:
    course, reference = (Course([1.0], {"W": np.array([move])}) for move in (0.1, 0.0))
    assert difference(course, reference) == np.inf
    assert difference(reference, reference) == 0.0
