"""One task: every peer checked against float64, then timed, the peers taking turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from benchmarks.ops.ceilings import Ceilings
from benchmarks.train.agreement import Trainer, difference, follow
from benchmarks.train.peers import OURS, Peer, reference_trainer
from benchmarks.train.task import Task
from benchmarks.turns import Pace, Result, take_turns

__all__ = ["FULL", "QUICK", "Row", "Trained", "measure"]

FULL = Pace(turns=4, warm_s=0.2, turn_s=0.4, samples=3)
QUICK = Pace(turns=1, warm_s=0.0, turn_s=0.005, samples=2)


@dataclass
class Trained(Result):
    """`share` is that of the floor which this peer reaches. `first_s` are the seconds of its first step.
    `checked` says what was compared."""

    share: float | None = None
    first_s: float | None = None
    checked: str = "training"


@dataclass
class Row:
    """One task. `floor_s` is the least time of a step on this machine."""

    task: str
    size: str
    extents: dict[str, int]
    flops: float
    floor_s: float
    results: dict[str, Trained] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # the peers that have no such model, and why

    @property
    def title(self) -> str:
        """What is in the row."""
        return self.task

    @property
    def bad(self) -> bool:
        """Whether any peer is wrong, or failed."""
        return any(result.wrong or result.error for result in self.results.values())

    @property
    def difference(self) -> float | None:
        """The largest of any peer that trains."""
        found = (r.difference for r in self.results.values() if r.checked == "training")
        return max((each for each in found if each is not None), default=None)


def measure(task: Task, size: str, peers: Sequence[Peer], ceilings: Ceilings, pace: Pace) -> Row:
    """A row, with a result for each peer that has the model."""
    problem = task.problem(**task.sizes[size])
    floor_s = ceilings.seconds(problem.bytes_moved, problem.flops)
    row = Row(task.name, size, dict(problem.extents), problem.flops, floor_s)
    reference = reference_trainer(task, problem)
    course = None if reference is None else follow(reference, problem)
    trainers: dict[str, Trainer] = {}
    for peer in peers:
        if getattr(task, peer.library) is None:
            row.absent[peer.name] = task.absent.get(peer.library, "not yet")
            continue
        result = row.results[peer.name] = Trained()
        forward_only = peer.library in task.untrained
        try:
            trainer = peer.start(task, problem)
            own = follow(trainer, problem)
        except Exception as error:  # a peer's own failure must not end the run
            result.error = f"{type(error).__name__}: {' '.join(str(error).split())}"
            continue
        result.first_s = own.first_s
        result.checked = "forward" if forward_only else "training"
        if course is not None:
            result.difference = difference(own, course, forward_only=forward_only)
            result.wrong = not result.difference <= task.tolerance
        trainers[peer.name] = trainer
    spreads = take_turns({name: _sampler(trainer) for name, trainer in trainers.items()}, pace, singly=True)
    for name, step_s in spreads.items():
        row.results[name].call_s = step_s
    _relate(row)
    return row


def _sampler(trainer: Trainer) -> Callable[[int], float]:
    def sample(steps: int) -> float:
        start = perf_counter()
        for _ in range(steps):
            trainer.step()
            trainer.wait()
        return (perf_counter() - start) / steps

    return sample


def _relate(row: Row) -> None:
    ours = row.results.get(OURS)
    for result in row.results.values():
        if result.call_s is not None:
            result.share = row.floor_s / result.call_s.median_s
            if ours is not None and ours.call_s is not None:
                result.ratio = result.call_s.median_s / ours.call_s.median_s
