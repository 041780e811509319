"""A run: each backend in fresh processes of its own, and the cases of all of them in turns, so that a machine
that slows down slows all of them. This process measures nothing, and loads no framework."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from statistics import median
from time import monotonic
from typing import Any

import triops
from triops.bench.cases.case import tolerance_in
from triops.bench.ceilings import Ceilings, best_of
from triops.bench.machine import cpu_times, load_average
from triops.bench.process import WorkerDied, WorkerProcess
from triops.bench.results import Ahead, Row, Run, Target, TurnTimes
from triops.bench.settings import Job, Settings
from triops.errors import BackendUnavailable

__all__ = ["Plan", "Progress", "look_around", "run"]

_NOTHING = Ahead()
_LOOK_LIMIT_S = 300
_LOAD_LIMIT_S = 300
_TURN_LIMIT_S = 300

_NO_WORK = ("idle", "iowait", "steal")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What there is to measure on: backends with their devices, those left out, with reasons; and the machine."""

    targets: tuple[Target, ...]
    left_out: dict[str, str]
    machine: dict[str, Any]


def look_around(
    backends: Sequence[str] = (),
    devices: Sequence[str] = (),
    threads: int | None = None,
    *,
    host_name: bool = False,
) -> Plan:
    """What there is, as seen from a process like those that will measure: to look, frameworks have to be loaded.
    Raises BackendUnavailable where what was asked for is not there, or a package of the `bench` extra is
    missing."""
    worker = WorkerProcess(threads)
    try:
        found = worker.ask(
            "look", limit_s=_LOOK_LIMIT_S, backends=list(backends), devices=list(devices), host_name=host_name
        )
    except WorkerDied as death:
        raise BackendUnavailable(f"the backends of this machine cannot be loaded: {death}") from death
    finally:
        worker.close()
    if reason := found.get("refused") or found.get("error"):
        raise BackendUnavailable(reason)
    targets = tuple(Target(**target) for target in found["targets"])
    return Plan(targets, found["left_out"], found["machine"])


def run(settings: Settings, plan: Plan, progress: Progress, ahead: Ahead = _NOTHING) -> Run:
    """Measure every job on every target.

    ahead: what `compile_ahead` did. progress: is called before each turn with what is measured, the turns done,
    and all turns. A case that raises, or whose process dies or hangs, gets a row with the reason, and the others
    go on. Ctrl-C ends the run and keeps what was measured by then.
    """
    jobs = settings.jobs()
    started, clock, load = datetime.now(UTC), monotonic(), load_average()
    before, ours = cpu_times(), _own_cpu_s()
    contestants = [_Contestant(target, settings, jobs) for target in plan.targets]
    total = settings.pace.turns * len(jobs) * len(contestants)
    done = 0
    interrupted = False
    try:
        for turn in range(settings.pace.turns):
            if turn % (settings.pace.turns // settings.processes) == 0:
                for contestant in contestants:
                    progress(f"loading {contestant.target.where}", done, total)
                    contestant.start_afresh()
            for number, job in enumerate(jobs):
                # Back and forth, so that none always comes after the same other one.
                for contestant in contestants[:: -1 if turn % 2 else 1]:
                    progress(f"{job.case.name} on {contestant.target.where}", done, total)
                    contestant.take_turn(number)
                    done += 1
    except KeyboardInterrupt:
        interrupted = True
    finally:
        for contestant in contestants:
            contestant.stop()
    targets = [contestant.target for contestant in contestants]
    after, ours = cpu_times(), _own_cpu_s() - ours
    return Run(
        started=started.isoformat(timespec="seconds"),
        ahead=ahead,
        seconds=round(monotonic() - clock, 1),
        interrupted=interrupted,
        settings=settings.record(),
        software={"triops": triops.__version__, "python": platform.python_version()},
        machine=plan.machine,
        load_average=load,
        stolen=_stolen(before, after),
        others=_others(before, after, ours),
        left_out=plan.left_out,
        targets=tuple(targets),
        rows=_with_ceilings([c.rows[i].row() for i in range(len(jobs)) for c in contestants], targets),
    )


@dataclass
class _Measured:
    """What is known of a row so far."""

    blank: Row
    turns: list[TurnTimes] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    once: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def row(self) -> Row:
        return replace(
            self.blank,
            turns=tuple(self.turns),
            energy_j=median(self.joules) if self.joules else None,
            error=self.error,
            **self.once,
        )


class _Contestant:
    """A target, the process that measures it now, and what was measured."""

    def __init__(self, target: Target, settings: Settings, jobs: Sequence[Job]) -> None:
        self.target = target
        self._settings, self._jobs = settings, jobs
        self._process: WorkerProcess | None = None
        self._number = -1
        self.rows = [_Measured(_blank(job, target)) for job in jobs]

    def start_afresh(self) -> None:
        """In a new process: load the backend; in the first one, see what the device can do, too."""
        self.stop()
        if self.target.error is not None:
            return
        self._number += 1
        self._process = WorkerProcess(self._settings.threads)
        try:
            loaded = self._ask("load", _LOAD_LIMIT_S, backend=self.target.backend, device=self.target.device,
                               model=self._settings.model)  # fmt: skip
            if self.target.load_s is None:
                self.target = replace(self.target, **loaded)
            if self.target.ceilings is None:
                dtypes = list(dict.fromkeys(job.dtype for job in self._jobs))
                found = self._ask("ceilings", _LOAD_LIMIT_S, dtypes=dtypes, quick=self._settings.quick)
                sizes = {int(size): rate for size, rate in found.pop("copy_bytes_s").items()}
                self.target = replace(self.target, ceilings=Ceilings(copy_bytes_s=sizes, **found))
        except (WorkerDied, _Refused) as error:
            if self.target.load_s is None or isinstance(error, WorkerDied):
                self.target = replace(self.target, error=str(error))
                self.stop()

    def take_turn(self, number: int) -> None:
        """A turn of a case. An error is the end of the case, a death that of the process."""
        job, measured = self._jobs[number], self.rows[number]
        if measured.error is None and self.target.error is not None:
            measured.error = self.target.error
        if measured.error is not None:
            return
        try:
            answer = self._ask(
                "turn", _TURN_LIMIT_S, suite=job.case.suite, name=job.case.name, shape=list(job.shape),
                dtype=job.dtype, pace=asdict(self._settings.pace), first=not measured.once,
            )  # fmt: skip
        except _Refused as refusal:
            measured.error = str(refusal)
            return
        except WorkerDied as death:
            measured.error = str(death)
            self.start_afresh()
            return
        measured.turns.append(TurnTimes(**answer.pop("turn"), process=self._number))
        measured.joules += [answer.pop("energy_j")] if "energy_j" in answer else []
        measured.once |= answer

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _ask(self, do: str, limit_s: float, **order: Any) -> dict[str, Any]:
        assert self._process is not None
        answer = self._process.ask(do, limit_s=limit_s, **order)
        if "error" in answer:
            raise _Refused(answer["error"])
        return answer


class _Refused(Exception):
    """A worker's order failed, and the worker lives."""


def _blank(job: Job, target: Target) -> Row:
    return Row(
        suite=job.case.suite,
        case=job.case.name,
        version=job.case.version,
        size=job.size,
        shape=job.shape,
        dtype=job.dtype,
        backend=target.backend,
        device=target.device,
        tolerance=tolerance_in(job.dtype, job.case.tolerance),
    )


def _with_ceilings(rows: Sequence[Row], targets: Sequence[Target]) -> tuple[Row, ...]:
    """Each row with the least time that its device allows: what any of its backends reaches, the device can."""
    by_device: dict[str, Ceilings] = {}
    for device in {target.device for target in targets}:
        if found := [t.ceilings for t in targets if t.device == device and t.ceilings is not None]:
            by_device[device] = best_of(found)
    return tuple(
        replace(row, ceiling_s=by_device[row.device].seconds(row.bytes_moved, row.flops, row.dtype))
        if row.device in by_device and row.bytes_moved is not None and row.flops is not None
        else row
        for row in rows
    )


def _own_cpu_s() -> float:
    """Seconds of the CPUs that this process has had, and those that it started and that have ended; the system of
    Windows does not tell of the latter."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _others(before: dict[str, float], after: dict[str, float], ours: float) -> float | None:
    if os.name == "nt":
        return None
    spent = {name: after[name] - before[name] for name in after}
    everyone = sum(spent.values())
    busy = everyone - sum(spent.get(name, 0.0) for name in _NO_WORK)
    return max(0.0, busy - ours) / everyone if everyone > 0 else None


def _stolen(before: dict[str, float], after: dict[str, float]) -> float | None:
    if "steal" not in before:
        return None
    spent = sum(after.values()) - sum(before.values())
    return max(0.0, after["steal"] - before["steal"]) / spent if spent > 0 else None
