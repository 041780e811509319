"""What Linux control groups, as containers set them, leave a process of the CPUs and the memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["cgroup_limits"]

_UNLIMITED = 2**60  # version 1 writes "no limit" as the largest number of whole pages


def cgroup_limits(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> tuple[float | None, int | None]:
    """The smallest limits along this process's groups: CPUs, as 1.5 for one and a half, and bytes of memory.
    None where nothing limits it, or there are no control groups."""
    cpus, memory = [], []
    for group in _groups(root, membership):
        quota, period = _numbers(group / "cpu.max", group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
        if quota and period:
            cpus.append(quota / period)
        limit = _numbers(group / "memory.max", group / "memory.limit_in_bytes")[0]
        if limit and limit < _UNLIMITED:
            memory.append(limit)
    return min(cpus, default=None), min(memory, default=None)


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """The folders of this process's groups, each with those above it. In a container the path that the
    kernel names may lie outside: then the mount itself is the group."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        # Version 2 has one tree without a list of controllers, version 1 one tree for each controller.
        for mount in [root / name for name in controllers.split(",")] if controllers else [root]:
            group = mount / path.strip("/")
            yield from (group, *[above for above in group.parents if above.is_relative_to(mount)])


def _numbers(whole: Path, *parts: Path) -> tuple[int | None, int | None]:
    """The numbers in version 2's file, or in version 1's files; None for "max", -1 and what is not there."""
    words = _read(whole) or [word for part in parts for word in _read(part)[:1]]
    numbers = [int(word) if word.isdecimal() else None for word in words[:2]]
    first, second = (*numbers, None, None)[:2]
    return first, second


def _read(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
