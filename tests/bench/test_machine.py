"""The description of this machine against what the machine itself says."""

import getpass
import json
import os
import platform
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import threadpoolctl

from triops.bench.machine import (
    blas_hint,
    describe_caches,
    describe_gpus,
    describe_machine,
    describe_threads,
)
from triops.errors import BackendUnavailable

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="compares with Linux's /proc")


@pytest.fixture(scope="module")
def machine() -> dict[str, Any]:
    pytest.importorskip("psutil", reason="psutil is not installed")
    pytest.importorskip("cpuinfo", reason="py-cpuinfo2 is not installed")
    return describe_machine()


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in (*value, *value.values()) for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_it_is_json_and_has_no_names_of_people_hosts_or_paths(machine: dict[str, Any]) -> None:
    assert json.loads(json.dumps(machine, allow_nan=False)) == machine
    for text in strings(machine):
        assert text not in {platform.node(), getpass.getuser()}
        assert str(Path.home()) not in text
        assert not text.startswith("/")


def test_cores_are_those_of_the_system(machine: dict[str, Any]) -> None:
    cpu = machine["cpu"]
    assert cpu["logical_cores"] == os.cpu_count()
    assert 1 <= cpu["usable_cores"] <= cpu["logical_cores"]
    assert cpu["physical_cores"] is None or cpu["physical_cores"] <= cpu["logical_cores"]
    assert cpu["architecture"] == platform.machine()


@LINUX
def test_cpu_and_memory_are_those_in_proc(machine: dict[str, Any]) -> None:
    text = Path("/proc/cpuinfo").read_text()
    lines = [line.partition(":") for line in text.splitlines()]
    known = {key.strip(): value.strip() for key, _, value in lines}
    if platform.machine() == "x86_64":
        assert machine["cpu"]["model"] == known["model name"]
        assert set(machine["cpu"]["instruction_sets"]) <= set(known["flags"].split())
        assert ("avx2" in machine["cpu"]["instruction_sets"]) == ("avx2" in known["flags"].split())
        assert ("avx512f" in machine["cpu"]["instruction_sets"]) == ("avx512f" in known["flags"].split())
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    assert machine["memory"]["total_bytes"] == int(total.split()[1]) * 1024


def test_caches_are_read_from_the_system(tmp_path: Path) -> None:
    for index, (level, kind, size, shared) in enumerate(
        [("1", "Data", "32K", "0,64"), ("2", "Unified", "1M", "0"), ("3", "Unified", "32768K", "0-7,64-71")]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
            (folder / name).write_text(f"{text}\n")
    assert describe_caches(tmp_path) == [
        {"level": 1, "type": "data", "bytes": 2**15, "shared_by": 2},
        {"level": 2, "type": "unified", "bytes": 2**20, "shared_by": 1},
        {"level": 3, "type": "unified", "bytes": 2**25, "shared_by": 16},
    ]
    assert describe_caches(tmp_path / "none") is None


@LINUX
def test_affinity_narrows_the_usable_cores() -> None:
    pytest.importorskip("psutil", reason="psutil is not installed")
    pytest.importorskip("cpuinfo", reason="py-cpuinfo2 is not installed")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert describe_machine()["cpu"]["usable_cores"] == 1
    finally:
        os.sched_setaffinity(0, before)


def test_thread_pools_are_those_of_threadpoolctl() -> None:
    wanted = [(p["internal_api"], p["version"], p["num_threads"]) for p in threadpoolctl.threadpool_info()]
    pools = describe_threads()["pools"]
    assert [(p["internal_api"], p["version"], p["num_threads"]) for p in pools] == wanted
    assert all("filepath" not in pool for pool in pools)


def test_settings_are_read_from_the_environment_without_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/someone/dump --xla_cpu_multi_thread_eigen=false")
    settings = describe_threads()["settings"]
    assert settings["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in settings
    assert settings["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=false"


@pytest.mark.parametrize(("module", "package"), [("psutil", "psutil"), ("cpuinfo", "py-cpuinfo2")])
def test_a_missing_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    for name in ("psutil", "cpuinfo"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "cpuinfo", types.SimpleNamespace(get_cpu_info=dict))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailable, match=rf"'{package}'.*pip install 'triops\[bench\]'"):
        describe_machine()


class Nvml(types.ModuleType):
    """NVIDIA's management library with a GPU, with one that has no memory of its own, or without a driver."""

    class NVMLError(Exception):
        pass

    def __init__(self, driver: bool = True, memory: int | None = 80 * 2**30) -> None:
        super().__init__("pynvml")
        self._driver, self._memory = driver, memory
        self.open = False

    def nvmlInit(self) -> None:
        if not self._driver:
            raise self.NVMLError
        self.open = True

    def nvmlShutdown(self) -> None:
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"NVIDIA Something"

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.1"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> types.SimpleNamespace:
        if self._memory is None:
            raise self.NVMLError
        return types.SimpleNamespace(total=self._memory)


@pytest.mark.parametrize("memory", [80 * 2**30, None])
def test_gpus_are_described(monkeypatch: pytest.MonkeyPatch, memory: int | None) -> None:
    nvml = Nvml(memory=memory)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    unknown = dict.fromkeys(("power_limit_w", "max_sm_mhz", "throttled_for"))
    assert describe_gpus() == [{"name": "NVIDIA Something", "memory_bytes": memory, "driver": "580.1", **unknown}]
    assert not nvml.open


def test_without_a_driver_there_is_no_gpu_and_without_the_package_nobody_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(driver=False))
    assert describe_gpus() == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert describe_gpus() is None


@pytest.mark.parametrize(
    ("setting", "kernels", "instructions", "held_back"),
    [
        ("Haswell", "Haswell", ["avx2", "avx512f"], True),
        ("SkylakeX", "SkylakeX", ["avx2", "avx512f"], False),
        ("Haswell", "Haswell", ["avx2"], False),
        (None, "Haswell", ["avx2", "avx512f"], False),
    ],
)
def test_a_setting_that_holds_blas_back_is_named(
    setting: str | None, kernels: str, instructions: list[str], held_back: bool
) -> None:
    machine = {
        "cpu": {"instruction_sets": instructions},
        "threads": {
            "settings": {"OPENBLAS_CORETYPE": setting} if setting else {},
            "pools": [
                {"internal_api": "openblas", "architecture": kernels},
                {"internal_api": "openmp"},
            ],
        },
    }
    hint = blas_hint(machine)
    assert (hint is not None) == held_back
    if hint:
        assert hint.startswith("OPENBLAS_CORETYPE=Haswell keeps OpenBLAS from this CPU's AVX-512")
