"""Runs a case on several backends: all train the same model on the same batches, turn by turn."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import triops
from triops.bench.digits import Digits, DigitsTraining
from triops.bench.machine import describe_machine, load_average
from triops.bench.results import Results, Row
from triops.bench.timing import spread, steady, turns
from triops.ops import Ops, get_ops

__all__ = ["run"]

# After so many, weights differ by rounding. Later a ReLU that rounding puts on the other side of zero makes some
# weight's gradient zero on one backend alone, and Adam turns that into a whole step: 0.06 after 1100 steps, with
# the accuracy the same.
_COMPARED_STEPS = 10


def run(
    case: Digits,
    everyone: Sequence[Ops],
    progress: Callable[[Ops, int], None],
    left_out: Mapping[str, str] | None = None,
) -> Results:
    """Train the case on all ops and measure; the first steps in float64 on NumPy, too, to compare weights with.

    progress: is called after each step with the ops and the number of steps that they trained. left_out: the
    backends that cannot be used here, with the reasons, for the record.

    Ops that raise get a row with the error, and the others go on. Ctrl-C ends the run and keeps what was
    measured by then. Raises BackendUnavailable where a package of the `bench` extra is missing.
    """
    machine = describe_machine()
    load = load_average()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    reference = _Runner(case, get_ops("numpy"), "float64")
    runners = [_Runner(case, ops, "float32") for ops in everyone]
    compared_steps = min(_COMPARED_STEPS, case.steps)
    interrupted = False
    try:
        reference.train(range(compared_steps), lambda ops, steps: None)
        for number, turn in enumerate(turns(case.steps)):
            # Back and forth, so that none always comes after the same other one.
            for runner in runners[:: -1 if number % 2 else 1]:
                runner.train(turn, progress)
    except KeyboardInterrupt:
        interrupted = True
    return Results(
        case=case.name,
        title=case.title,
        settings=asdict(case.settings),
        steps=case.steps,
        compared_steps=compared_steps,
        started=started,
        load_average=load,
        interrupted=interrupted,
        software={"triops": triops.__version__, "python": platform.python_version()},
        machine=machine,
        left_out=dict(left_out or {}),
        rows=_with_speeds([runner.row(reference.compared) for runner in runners]),
    )


class _Runner:
    """One training, and what was measured of it so far."""

    def __init__(self, case: Digits, ops: Ops, dtype: str) -> None:
        self.case = case
        self.ops = ops
        self.dtype = dtype
        self.training: DigitsTraining | None = None
        self.steps = 0
        self.first_s: float | None = None
        self.steady_s: list[float] = []
        self.compared: list[Any] | None = None  # the weights after the steps to compare
        self.error: str | None = None

    def train(self, turn: range, progress: Callable[[Ops, int], None]) -> None:
        """Train the steps of a turn; an error ends this training."""
        if self.error is not None:
            return
        counted = steady(turn)
        try:
            if self.training is None:
                self.training = self.case.start(self.ops, self.dtype)
            for step in turn:
                seconds = self.training.step(step)
                self.steps = step + 1
                if step == 0:
                    self.first_s = seconds
                elif step in counted:
                    self.steady_s.append(seconds)
                if self.steps == min(_COMPARED_STEPS, self.case.steps):
                    self.compared = self.training.weights()
                progress(self.ops, self.steps)
        except Exception as error:  # whatever a framework raises: the other rows are still worth having
            self.error = _one_line(error)

    def row(self, reference: list[Any] | None) -> Row:
        """What was measured, with the reference's weights to compare with."""
        step_s = spread(self.steady_s)
        row = Row(
            backend=self.ops.name,
            device=self.ops.device,
            versions=self.ops.backend.versions(),
            steps=self.steps,
            first_step_s=self.first_s,
            step_s=step_s,
            samples_per_s=self.case.settings.batch_size / step_s.median_s if step_s else None,
            difference=_difference(self.compared, reference),
            error=self.error,
        )
        if self.training is None or self.steps == 0 or self.error is not None:
            return row
        try:
            accuracy, weights = self.training.accuracy(), self.training.weights()
        except Exception as error:
            return replace(row, error=_one_line(error))
        if not all(isfinite(float(array.sum())) for array in weights):
            return replace(row, error=f"the weights are no longer finite after {self.steps} steps")
        return replace(row, accuracy=accuracy)


def _difference(weights: list[Any] | None, reference: list[Any] | None) -> float | None:
    """The largest absolute difference; None where one is missing, or not finite."""
    if weights is None or reference is None:
        return None
    largest = max(float(abs(a - b).max()) for a, b in zip(weights, reference, strict=True))
    return largest if isfinite(largest) else None


def _with_speeds(rows: list[Row]) -> tuple[Row, ...]:
    base = next((row.step_s for row in rows if row.backend == "numpy"), None)
    return tuple(
        replace(row, speed=base.median_s / row.step_s.median_s) if base and row.step_s else row for row in rows
    )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
