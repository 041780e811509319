"""The table of cases: each is right on NumPy at its smallest shape, and can be chosen by its name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from triops import get_ops
from triops.bench.cases import CASES, choose_cases, find_case
from triops.bench.cases.case import DTYPES, SIZES, SUITES, Case, tolerance_in
from triops.bench.measure import measure_turn
from triops.bench.settings import Settings
from triops.bench.timing import Pace
from triops.errors import ArgumentError

SHORT = Pace(turns=1, warm_s=0.0, turn_s=0.0, samples=2)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.suite}-{case.name}")
def test_every_case_is_right(case: Case) -> None:
    if case.name == "digits":
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    found = measure_turn(case, get_ops("numpy"), "float32", case.shapes["small"][0], SHORT, first=True)
    assert found["difference"] is not None
    assert found["difference"] <= case.tolerance
    assert found["bytes_moved"] > 0
    assert found["samples"] >= 1
    assert found["turn"]["median_s"] > 0


def test_names_and_sizes() -> None:
    assert len({(case.suite, case.name) for case in CASES}) == len(CASES)
    assert {case.suite for case in CASES} == set(SUITES)
    for case in CASES:
        assert tuple(case.shapes) == SIZES
        assert case.version >= 1
        assert find_case(case.suite, case.name) is case


def test_cases_are_chosen_by_suite_text_and_pattern() -> None:
    assert {case.suite for case in choose_cases(["train", "predict"])} == {"train", "predict"}
    assert [case.name for case in choose_cases([], ["back*soft*seq"])] == ["backprop_softmax_sequences"]
    assert len(choose_cases(few=True)) < len(CASES) / 2
    assert [case.name for case in choose_cases(few=True, patterns=["elu_k"])] == ["relu_k", "backprop_relu_k"]
    with pytest.raises(ArgumentError, match="unknown suite 'opera': choose from ops"):
        choose_cases(["opera"])
    with pytest.raises(ArgumentError, match="no case of train has 'relu' in its name: digits, mlp"):
        choose_cases(["train"], ["relu"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": ["huge"]}, "unknown size 'huge': choose from small, typical, large"),
        ({"dtypes": ["int8"]}, "unknown dtype 'int8'"),
        ({"batch_sizes": [1]}, "batch sizes are for a model of one's own"),
        ({"model": "a:b", "suites": ["ops"]}, "a model of one's own has no suites"),
        ({"model": "a:b", "batch_sizes": [0]}, "a batch size must be 1 or more, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Settings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["nothing", ":f", "module:", "module:no name"])
def test_a_model_is_a_module_and_a_function(target: str) -> None:
    with pytest.raises(ArgumentError, match=r"given as package\.module:function"):
        Settings(model=target).jobs()


def test_a_shape_that_is_the_same_at_every_size_is_measured_once() -> None:
    jobs = Settings(sizes=SIZES, filter=["relu_call"]).jobs()
    assert [(job.size, job.shape) for job in jobs] == [("small", (1, 8))]


def test_tolerances_follow_the_dtype() -> None:
    assert [tolerance_in(dtype, 1e-5) for dtype in DTYPES] == pytest.approx([1e-11, 1e-5, 3e-2, 0.2])
    assert tolerance_in("float64", 0.06) == 0.06


def test_choosing_loads_no_framework() -> None:
    script = (
        "import sys; from triops.bench.settings import Settings; Settings().jobs();"
        "import triops.bench.run; print({'numpy', 'jax', 'numba'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
