"""Small real runs: backends agree with the formulas, and errors, deaths and Ctrl-C keep what is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.subject import ops_or_skip
from triops.bench import run as running
from triops.bench.process import WorkerDied, WorkerProcess, check_threads
from triops.bench.results import Run, Target, from_json, to_json
from triops.bench.run import Plan, look_around, run
from triops.bench.settings import Settings
from triops.errors import ArgumentError, BackendUnavailable

for module in ("sklearn", "psutil", "cpuinfo", "jsonschema"):
    pytest.importorskip(module, reason=f"{module} is not installed")


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return look_around(["numpy"])


def measured(plan: Plan, *names: str, progress: Any = quiet, **settings: Any) -> Run:
    chosen = {"quick": True, "sizes": ["small"], "filter": names} | settings
    return run(Settings(**chosen), plan, progress)


def check(found: Run) -> None:
    for row in found.rows:
        assert row.error is None
        assert not row.wrong
        assert row.difference is not None
        assert len(row.turns) == found.settings["turns"]
        assert row.interval_s is not None
        assert row.median_s is not None
        assert row.interval_s[0] <= row.median_s <= row.interval_s[1]
        assert row.first_s
        assert row.compile_s is not None
        assert row.to_device_s
        assert row.to_host_s
        assert row.ceiling_s
    assert from_json(to_json(found)) == found


def test_a_run_of_every_suite(plan: Plan) -> None:
    found = measured(plan, "relu_call", "gemm", "Linear", "mlp")
    check(found)
    assert {row.suite for row in found.rows} == {"ops", "layers", "train", "predict", "overhead"}
    (target,) = found.targets
    assert target.versions["numpy"]
    assert target.load_s
    assert target.ceilings is not None
    assert target.ceilings.gemm_flops_s["float32"] > 0
    assert found.machine["cpu"]["logical_cores"] >= 1
    assert len(found.pulses_s) == found.settings["turns"]
    assert {turn.process for row in found.rows for turn in row.turns} == {0}


def test_digits_are_learned(plan: Plan) -> None:
    (row,) = measured(plan, "digits").rows
    assert row.found["accuracy"] > 0.95
    assert row.difference is not None
    assert row.difference < 1e-4
    assert row.turns[0].calls == 1


def test_jax_agrees_with_the_formulas() -> None:
    ops_or_skip("jax")
    found = measured(look_around(["numpy", "jax"]), "softmax", suites=["ops"])
    check(found)
    assert [row.backend for row in found.rows[:2]] == ["numpy", "jax"]
    jax = [row for row in found.rows if row.backend == "jax"]
    assert all(row.compile_s for row in jax)
    assert found.rows[0].ceiling_s == found.rows[1].ceiling_s


def test_other_dtypes_have_their_own_rows_and_tolerances(plan: Plan) -> None:
    found = measured(plan, "gemm_call", dtypes=["float32", "float64"])
    check(found)
    single, double = found.rows
    assert (single.dtype, double.dtype) == ("float32", "float64")
    assert double.tolerance < single.tolerance
    assert double.difference is not None
    assert double.difference < 1e-14


def test_what_a_backend_cannot_do_is_a_row_with_the_reason(plan: Plan) -> None:
    (row,) = measured(plan, "gemm_call", dtypes=["bfloat16"]).rows
    assert row.turns == ()
    assert row.error is not None
    assert "bfloat16" in row.error


@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills in other ways")
def test_a_process_that_dies_is_a_row_and_the_others_go_on(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = WorkerProcess.ask
    deadly = {"gemm_call": True}

    def killed_in_gemm(self: WorkerProcess, do: str, *, limit_s: float, **order: Any) -> dict[str, Any]:
        if deadly.pop(order.get("name", ""), False):
            os.kill(self._process.pid, signal.SIGKILL)
        return ask(self, do, limit_s=limit_s, **order)

    monkeypatch.setattr(WorkerProcess, "ask", killed_in_gemm)
    relu, gemm = measured(plan, "relu_call", "gemm_call").rows
    assert gemm.error == "the process ended by signal SIGKILL"
    assert gemm.turns == ()
    assert relu.error is None
    assert len(relu.turns) == 6
    assert {turn.process for turn in relu.turns} == {0, 1}


def test_what_hangs_is_ended(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_TURN_LIMIT_S", 0.0)
    (row,) = measured(plan, "relu_call").rows
    assert row.error == "no answer within 0 s, and so it was ended"


def test_a_backend_that_cannot_be_loaded_is_a_row(plan: Plan) -> None:
    broken = Plan((Target("numpy", "cpu:9"),), {}, plan.machine)
    (row,) = measured(broken, "relu_call").rows
    assert row.error is not None
    assert "has no device 'cpu:9'" in row.error


def test_last_words_are_the_reason() -> None:
    worker = WorkerProcess()
    try:
        assert "AttributeError" in worker.ask("fly", limit_s=60)["error"]
        worker._process.stdin.write("{\n")  # type: ignore[union-attr]
        with pytest.raises(WorkerDied, match=r"exit status 1: json\.decoder\.JSONDecodeError"):
            worker.ask("look", limit_s=60)
    finally:
        worker.close()


def test_ctrl_c_keeps_what_is_done(plan: Plan) -> None:
    def stops(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    found = measured(plan, "relu_call", "gemm_call", progress=stops)
    assert found.interrupted
    assert [len(row.turns) for row in found.rows] == [2, 1]
    assert from_json(to_json(found)) == found


def test_threads_are_limited_before_a_library_is_loaded() -> None:
    found = look_around(["numpy"], threads=1)
    pools = found.machine["threads"]["pools"]
    assert all(pool["num_threads"] == 1 for pool in pools)
    assert found.machine["threads"]["settings"]["OMP_NUM_THREADS"] == "1"
    if hasattr(os, "sched_setaffinity"):
        assert found.machine["cpu"]["usable_cores"] == 1
    with pytest.raises(ArgumentError, match="threads must be from 1 to"):
        check_threads(10_000)


def test_names_stay_out_unless_asked_for(plan: Plan) -> None:
    assert "host_name" not in plan.machine
    assert look_around(["numpy"], host_name=True).machine["host_name"]


def test_what_is_not_here_is_refused() -> None:
    with pytest.raises(BackendUnavailable, match="unknown backend 'abacus'"):
        look_around(["abacus"])


OWN = """
from triops.models import Relu, Softmax, chain

def small():
    return chain(Relu(8, 4), Softmax(3)), [[0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.0, 1.0]]

def wrong():
    return 7
"""


@pytest.mark.slow
def test_a_model_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    command = ["bench", "run", "--backend", "numpy", "--quick", "--model", "mine:small", "--batch-size", "1",
               "--batch-size", "5", "--output", "run.json"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "triops", *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = from_json((tmp_path / "run.json").read_text())
    assert [(row.suite, row.size, row.samples) for row in found.rows] == [
        ("train", "batch 1", 1), ("train", "batch 5", 5), ("predict", "batch 1", 1), ("predict", "batch 5", 5),
    ]  # fmt: skip
    assert "train, batch of 5: numpy cpu:0" in done.stdout
    wrong = {"mine:wrong": "must return a model and a sample batch, got int", "mine:no": "cannot find mine:no"}
    for target, message in wrong.items():
        command = ["bench", "run", "--backend", "numpy", "--model", target, "--batch-size", "1"]
        done = subprocess.run(
            [sys.executable, "-m", "triops", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert message in " ".join(done.stdout.split())
