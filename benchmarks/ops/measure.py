"""One case at one shape: every peer checked against float64, then timed, the peers taking turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.ops.case import Case
from benchmarks.ops.ceilings import Ceilings
from benchmarks.ops.peers import OURS, Peer
from benchmarks.turns import Result, take_turns
from triops.bench.cases.arrays import formula_ops, widened
from triops.bench.cases.op import listed
from triops.bench.timing import Pace

__all__ = ["FULL", "QUICK", "Row", "measure"]

FULL = Pace(turns=3, warm_s=0.06, turn_s=0.06, samples=3)
QUICK = Pace(turns=1, warm_s=0.0, turn_s=0.005, samples=2)


@dataclass
class Row:
    """One op at one shape. `share` is that of the ceiling that triops-numpy reaches."""

    op: str
    size: str
    shape: tuple[int, ...]
    results: dict[str, Result] = field(default_factory=dict)
    share: float | None = None
    bytes_moved: int = 0
    flops: float = 0.0

    @property
    def title(self) -> str:
        """What is in the row."""
        return f"{self.op} {'x'.join(map(str, self.shape))}"

    @property
    def bad(self) -> bool:
        """Whether any peer is wrong, or failed."""
        return any(result.wrong or result.error for result in self.results.values())

    @property
    def difference(self) -> float | None:
        """The largest of any peer."""
        return max((r.difference for r in self.results.values() if r.difference is not None), default=None)


def measure(
    case: Case, size: str, shape: tuple[int, ...], peers: Sequence[Peer], ceilings: Ceilings, pace: Pace
) -> Row:
    """A row, with a result for each peer that has the op."""
    inputs = case.op.inputs(*shape)
    references = _as_float64(case.triops(formula_ops(), *map(widened, inputs)), np.asarray)
    row = Row(case.name, size, shape, flops=float(case.op.flops(*shape)))
    runners = {}
    for peer in peers:
        function = peer.bind(case)
        if function is None:
            continue
        result = row.results[peer.name] = Result()
        runner = _Runner(peer, function, inputs, case.op.consumes)
        try:
            outputs = runner.once()
            arrays = _as_float64(outputs, peer.numpy)
        except Exception as error:  # a peer's own failure must not end the run
            result.error = f"{type(error).__name__}: {' '.join(str(error).split())}"
            continue
        result.difference = case.op.compare(arrays, references)
        result.wrong = not result.difference <= case.op.tolerance
        runners[peer.name] = runner
        if peer.name == OURS:
            row.bytes_moved = case.op.bytes_moved(shape, inputs, listed(outputs))
    samplers = {name: runner.sample for name, runner in runners.items()}
    for name, call_s in take_turns(samplers, pace, singly=case.op.consumes).items():
        row.results[name].call_s = call_s
    _relate(row, ceilings)
    return row


def _relate(row: Row, ceilings: Ceilings) -> None:
    ours = row.results.get(OURS)
    if ours is None or ours.call_s is None:
        return
    row.share = ceilings.seconds(row.bytes_moved, row.flops) / ours.call_s.median_s
    for result in row.results.values():
        if result.call_s is not None:
            result.ratio = result.call_s.median_s / ours.call_s.median_s


class _Runner:
    """Calls one peer's function, and reads the clock."""

    def __init__(self, peer: Peer, function: Callable[..., Any], inputs: Sequence[Any], consumes: bool) -> None:
        self._peer, self._function = peer, function
        self._inputs, self._consumes = inputs, consumes
        self._arrays = self._ready()

    def once(self) -> Any:
        """The result of one call, computed."""
        result = self._function(*self._arrays)
        if self._peer.wait is not None:
            self._peer.wait(result)
        return result

    def sample(self, calls: int) -> float:
        """Seconds a call."""
        if self._consumes:
            self._arrays = self._ready()
        start = perf_counter()
        for _ in range(calls):
            self.once()
        return (perf_counter() - start) / calls

    def _ready(self) -> list[Any]:
        """Copies of the inputs, there before the clock starts."""
        arrays = [self._peer.array(array.copy()) for array in self._inputs]
        if self._peer.wait is not None:
            for array in arrays:
                self._peer.wait(array)
        return arrays


def _as_float64(outputs: Any, to_numpy: Callable[[Any], Any]) -> list[Any]:
    return [np.array(to_numpy(output), dtype="float64") for output in listed(outputs)]
