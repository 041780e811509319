"""Joules where they can be read, and else the reason."""

import sys
import types
from pathlib import Path

import pytest

from triops.bench.energy import energy_meter


def zone(folder: Path, name: str, joules: int, most: int = 1000) -> Path:
    path = folder / name
    path.mkdir()
    (path / "energy_uj").write_text(f"{1_000_000 * joules}\n")
    (path / "max_energy_range_uj").write_text(f"{1_000_000 * most - 1}\n")
    return path


def test_packages_are_added_up_and_their_counters_wrap_around(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", 990), zone(tmp_path, "intel-rapl:1", 5)
    zone(tmp_path, "intel-rapl:0:0", 7)  # the cores of the first package, which are in it
    meter, source = energy_meter("cpu", folder=tmp_path)
    assert meter is not None
    assert source == "RAPL, 2 packages"
    assert meter() == 0
    (first / "energy_uj").write_text("10000000")
    (second / "energy_uj").write_text("8000000")
    assert meter() == pytest.approx(20 + 3)


def test_what_cannot_be_read_is_unavailable_and_never_zero(tmp_path: Path) -> None:
    assert energy_meter("cpu", folder=tmp_path) == (None, "unavailable: this machine shows no RAPL counter")
    (zone(tmp_path, "intel-rapl:0", 1) / "energy_uj").write_text("")
    meter, reason = energy_meter("cpu", folder=tmp_path)
    assert meter is None
    assert reason.startswith("unavailable: the RAPL counters cannot be read")


def test_a_gpu_is_asked_by_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    joules = iter([5.0, 5.0, 7.5])
    nvml = types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: 1000 * next(joules),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter, source = energy_meter("cuda", 1)
    assert meter is not None
    assert source == "NVML"
    assert (meter(), meter()) == (5.0, 7.5)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy_meter("cuda") == (None, "unavailable: nvidia-ml-py is not installed")
