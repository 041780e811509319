"""Limits of control groups, as the files of both versions state them."""

from pathlib import Path

import pytest

from triops.backends.cgroup import cgroup_limits


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def limits(tmp_path: Path, membership: str, files: dict[str, str]) -> tuple[float | None, int | None]:
    write(tmp_path / "cgroup", files)
    (tmp_path / "self").write_text(membership)
    return cgroup_limits(tmp_path / "cgroup", tmp_path / "self")


def test_version_2_takes_the_tightest_group_along_the_path(tmp_path: Path) -> None:
    files = {
        "app/cpu.max": "300000 100000",
        "app/job/cpu.max": "max 100000",
        "app/memory.max": "max",
        "app/job/memory.max": "2147483648",
    }
    assert limits(tmp_path, "0::/app/job\n", files) == (3.0, 2**31)


def test_version_1_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    files = {
        "cpu/job/cpu.cfs_quota_us": "150000",
        "cpu/job/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/job/memory.limit_in_bytes": "1073741824",
    }
    assert limits(tmp_path, "4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n", files) == (1.5, 2**30)


def test_version_1_without_a_quota_is_no_limit(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    assert limits(tmp_path, "1:cpu:/\n", files) == (None, None)


@pytest.mark.parametrize("path", ["/docker/abc", "/../../outside"])
def test_in_a_container_the_mount_is_the_group(tmp_path: Path, path: str) -> None:
    files = {"cpu.max": "50000 100000", "memory.max": "1048576"}
    assert limits(tmp_path, f"0::{path}\n", files) == (0.5, 2**20)


def test_without_control_groups_nothing_limits(tmp_path: Path) -> None:
    assert cgroup_limits(tmp_path / "none", tmp_path / "nothing") == (None, None)
