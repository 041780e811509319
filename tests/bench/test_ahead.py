"""Kernels are compiled before the clock starts, those that the cases need alone, and once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from triops.bench import ahead as compiling
from triops.bench.ahead import compile_ahead
from triops.bench.results import Ahead
from triops.bench.run import Plan, look_around, run
from triops.bench.settings import Settings

for module in ("numba", "psutil", "cpuinfo"):
    pytest.importorskip(module, reason=f"{module} is not installed")

Told = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return look_around(["numpy"])


def test_what_was_compiled_is_compiled_no_more(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    settings, told = Settings(quick=True, filter=["relu_call", "mish"], sizes=["small"]), Told()
    first = compile_ahead(settings, plan, lambda *now: told.append(now))
    assert first.kernels >= 2
    assert first.seconds > 0
    assert [(done, count) for _, done, count in told] == [(n, len(told)) for n in range(1, 1 + len(told))]
    assert compile_ahead(settings, plan, lambda *now: None).kernels == 0
    found = run(settings, plan, lambda *now: None, first)
    assert found.ahead == first
    assert all(row.compile_s is not None and row.compile_s < 0.05 for row in found.rows)


def test_a_case_that_fails_or_dies_stops_nothing(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    settings = Settings(quick=True, filter=["relu_call", "gemm_call"], dtypes=["bfloat16"])
    assert compile_ahead(settings, plan, lambda *now: told.append(now)).kernels == 0
    assert len(told) == 2
    monkeypatch.setattr(compiling, "_LIMIT_S", 0.0)
    assert compile_ahead(settings, plan, lambda *now: told.append(now)).kernels == 0
    assert len(told) == 4


def test_without_numba_there_is_nothing_to_compile(plan: Plan) -> None:
    (target,) = plan.targets
    formulas = replace(plan, targets=(replace(target, versions={"numpy": "2.0"}),))
    assert compile_ahead(Settings(quick=True), formulas, lambda *now: None) == Ahead()


def test_ctrl_c_ends_the_processes(plan: Plan) -> None:
    def stops(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    started = monotonic()
    with pytest.raises(KeyboardInterrupt):
        compile_ahead(Settings(quick=True, sizes=["small"]), plan, stops)
    assert monotonic() - started < 60
