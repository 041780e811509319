"""Whether two runs of the same steps went the same way."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from benchmarks.train.task import Problem

__all__ = ["STEPS", "Course", "Trainer", "difference", "follow"]

STEPS = 3
_LOSS_TOLERANCE = 1e-3


class Trainer(Protocol):
    """A model in one library, on its way."""

    def step(self) -> None: ...

    def wait(self) -> None: ...

    def loss(self) -> float: ...

    def weights(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Course:
    """The loss of each step, and how far each parameter has come from its initial value. first_s: the seconds of
    the first step, in which programs are compiled."""

    losses: list[float]
    moves: dict[str, Any]
    first_s: float = 0.0


def follow(trainer: Trainer, problem: Problem, steps: int = STEPS) -> Course:
    """Make some steps."""
    losses, seconds = [], []
    for _ in range(steps):
        start = perf_counter()
        trainer.step()
        trainer.wait()
        seconds.append(perf_counter() - start)
        losses.append(trainer.loss())
    now = trainer.weights()
    moves = {
        name: np.asarray(now[name], "float64").reshape(before.shape) - before
        for name, before in problem.weights.items()
    }
    return Course(losses, moves, seconds[0])


def difference(course: Course, reference: Course, *, forward_only: bool = False) -> float:
    """How far a course is from another: the distance between their weights, as a share of the way these have
    come, for the parameter for which it is largest. It is not rounding's size, since Adam makes its full step on
    gradients that are little more than rounding. Losses that are too far apart make it infinite; so does a
    parameter that did not move, or moved where the reference did not."""
    losses = list(zip(course.losses, reference.losses, strict=True))[: 1 if forward_only else None]
    if not all(abs(ours - theirs) <= _LOSS_TOLERANCE * abs(theirs) for ours, theirs in losses):
        return float("inf")
    if forward_only:
        return max(abs(ours - theirs) / abs(theirs) for ours, theirs in losses)
    shares = []
    for name, move in reference.moves.items():
        distance = float(np.linalg.norm(course.moves[name] - move))
        if distance:
            way = float(np.linalg.norm(move))
            shares.append(distance / way if way else float("inf"))
    worst = float(np.max(shares, initial=0.0))  # NaN, if there is one
    return worst if worst == worst else float("inf")
