"""Small real runs: backends agree, errors and Ctrl-C keep what is done."""

import sys
from dataclasses import asdict
from typing import Any

import pytest
from triops.bench.digits import Digits, DigitsSettings, DigitsTraining

from tests.subject import FormulaBackend, ops_or_skip
from triops import Ops, get_ops
from triops.backends.numpy import NumpyBackend
from triops.bench.results import Results, Row, from_json, to_json
from triops.bench.run import run
from triops.errors import ArgumentError, BackendUnavailable

for module in ("sklearn", "psutil", "cpuinfo"):
    pytest.importorskip(module, reason=f"{module} is not installed")


@pytest.fixture(scope="module")
def case() -> Digits:
    return Digits(DigitsSettings(epochs=2))


@pytest.fixture
def other() -> Ops:
    """A second contestant that every machine has."""
    return Ops(FormulaBackend(NumpyBackend.devices()[0]))


def quiet(ops: Ops, steps: int) -> None:
    """Progress that nobody watches."""


def trained(case: Digits, everyone: list[Ops], progress: Any = quiet) -> Results:
    return run(case, everyone, progress)


def check_row(row: Row, case: Digits) -> None:
    assert row.error is None
    assert row.steps == case.steps == 22
    assert row.first_step_s is not None
    assert row.first_step_s > 0
    assert row.step_s is not None
    assert 0 < row.step_s.lower_quartile_s <= row.step_s.median_s <= row.step_s.upper_quartile_s
    assert row.step_s.count == 11
    assert row.samples_per_s == 128 / row.step_s.median_s
    assert row.accuracy is not None
    assert row.accuracy > 0.5  # a guess is right one time in ten
    assert row.difference is not None
    assert 0 < row.difference < 1e-4


def test_numpy_alone(case: Digits) -> None:
    calls = []
    results = trained(case, [get_ops("numpy")], lambda ops, steps: calls.append((ops, steps)))
    (row,) = results.rows
    check_row(row, case)
    assert row.speed == 1.0
    assert calls == [(get_ops("numpy"), step) for step in range(1, 23)]
    assert (results.case, results.steps, results.compared_steps, results.interrupted) == ("digits", 22, 10, False)
    assert results.settings == asdict(DigitsSettings(epochs=2))
    assert results.machine["cpu"]["logical_cores"] >= 1
    assert from_json(to_json(results)) == results


def test_jax_agrees_with_numpy(case: Digits) -> None:
    numpy, jax = trained(case, [get_ops("numpy"), ops_or_skip("jax")]).rows
    check_row(numpy, case)
    check_row(jax, case)
    assert (jax.backend, jax.device) == ("jax", ops_or_skip("jax").device)
    assert numpy.step_s is not None
    assert jax.step_s is not None
    assert jax.speed == numpy.step_s.median_s / jax.step_s.median_s
    assert jax.accuracy == pytest.approx(numpy.accuracy, abs=0.01)
    assert jax.first_step_s is not None
    assert jax.first_step_s > jax.step_s.median_s


@pytest.mark.slow
def test_the_default_settings_reach_97_percent_everywhere() -> None:
    everyone = [get_ops("numpy"), ops_or_skip("jax")]
    for row in trained(Digits(DigitsSettings()), everyone).rows:
        assert row.error is None
        assert row.accuracy is not None
        assert row.accuracy >= 0.97


def test_what_raises_is_a_row_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, case: Digits, other: Ops
) -> None:
    step = DigitsTraining.step

    def breaks(self: DigitsTraining, number: int) -> float:
        if self.ops is other and number == 4:
            raise RuntimeError("the device\nis gone")
        return step(self, number)

    monkeypatch.setattr(DigitsTraining, "step", breaks)
    broken, fine = trained(case, [other, get_ops("numpy")]).rows
    assert broken.error == "RuntimeError: the device is gone"
    assert broken.steps == 4
    assert broken.accuracy is None
    check_row(fine, case)


def test_what_cannot_even_start_is_a_row(monkeypatch: pytest.MonkeyPatch, case: Digits, other: Ops) -> None:
    start = Digits.start

    def breaks(self: Digits, ops: Ops, dtype: str = "float32") -> DigitsTraining:
        if ops is other:
            raise MemoryError("no room")
        return start(self, ops, dtype)

    monkeypatch.setattr(Digits, "start", breaks)
    broken, fine = trained(case, [other, get_ops("numpy")]).rows
    assert (broken.error, broken.steps, broken.first_step_s) == ("MemoryError: no room", 0, None)
    check_row(fine, case)


def test_weights_that_are_no_longer_finite_are_an_error(
    monkeypatch: pytest.MonkeyPatch, case: Digits, other: Ops
) -> None:
    weights = DigitsTraining.weights

    def overflows(self: DigitsTraining) -> list[Any]:
        found = weights(self)
        return [array * float("nan") for array in found] if self.ops is other else found

    monkeypatch.setattr(DigitsTraining, "weights", overflows)
    broken, fine = trained(case, [other, get_ops("numpy")]).rows
    assert broken.error == "the weights are no longer finite after 22 steps"
    assert broken.difference is None
    check_row(fine, case)


def test_ctrl_c_keeps_what_is_done(case: Digits, other: Ops) -> None:
    def stops(ops: Ops, steps: int) -> None:
        if ops is other and steps == 12:
            raise KeyboardInterrupt

    results = trained(case, [get_ops("numpy"), other], stops)
    assert results.interrupted
    done, stopped = results.rows
    check_row(done, case)
    assert stopped.steps == 12
    assert stopped.error is None
    assert stopped.first_step_s is not None
    assert stopped.accuracy is not None
    assert from_json(to_json(results)) == results


def test_one_step_has_no_steady_time(case: Digits) -> None:
    one = Digits(DigitsSettings(epochs=1, batch_size=1437))
    (row,) = trained(one, [get_ops("numpy")]).rows
    assert (row.steps, row.step_s, row.speed, row.error) == (1, None, None, None)
    assert row.first_step_s is not None
    assert row.difference is not None


def test_every_backend_sees_the_same_batches_and_none_twice_in_an_epoch(case: Digits) -> None:
    again = Digits(DigitsSettings(epochs=2))
    seen = []
    for step in range(case.steps):
        X, y = case.batch(step)
        assert X.shape == (128, 64)
        assert (again.batch(step)[0] == X).all()
        assert (again.batch(step)[1] == y).all()
        seen.append(X)
    assert not (seen[0] == seen[11]).all()
    held_out = {row.tobytes() for row in case.held_out()[0]}
    assert len(held_out) == 360
    first_epoch = [row.tobytes() for X in seen[:11] for row in X]
    assert len(set(first_epoch)) == len(first_epoch) == 1408
    assert not held_out & set(first_epoch)


def test_initial_weights_are_the_same_bits_in_every_dtype_and_backend(case: Digits, other: Ops) -> None:
    starts = [case.start(get_ops("numpy")), case.start(get_ops("numpy"), "float64"), case.start(other)]
    for a, b, c in zip(*[start.weights() for start in starts], strict=True):
        assert (a == b).all()
        assert (a == c).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be 1 or more, got 0"),
        ({"batch_size": 0}, "batch size must be from 1 to 1437.*got 0"),
        ({"batch_size": 1438}, "batch size .* got 1438"),
        ({"learn_rate": 0.0}, "learn rate must be a finite number above 0"),
        ({"learn_rate": float("inf")}, "learn rate"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        DigitsSettings(**settings)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(BackendUnavailable, match=r"'scikit-learn'.*pip install 'triops\[bench\]'"):
        Digits(DigitsSettings())
