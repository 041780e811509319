"""Joules, where the machine lets them be read: of the CPU's packages by RAPL, of NVIDIA GPUs by NVML. They are
those of the whole machine, with all that ran on it. Where they cannot be read there is the reason, never a
zero."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["CPU_ENERGY", "energy_meter"]

CPU_ENERGY = Path("/sys/class/powercap")
_MICRO, _MILLI = 1e-6, 1e-3

Meter = Callable[[], float]


def energy_meter(kind: str, index: int = 0, folder: Path = CPU_ENERGY) -> tuple[Meter | None, str]:
    """A function that returns joules since some moment, for a device, and what it reads; or None, and why."""
    return _cpu_meter(folder) if kind == "cpu" else _gpu_meter(index)


def _cpu_meter(folder: Path) -> tuple[Meter | None, str]:
    # A package's own counter: what is inside of it (cores, memory) has one colon more.
    zones = sorted(zone for zone in folder.glob("intel-rapl:*") if zone.name.count(":") == 1)
    if not zones:
        return None, "unavailable: this machine shows no RAPL counter"
    try:
        ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]
        before = [int((zone / "energy_uj").read_text()) for zone in zones]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return None, f"unavailable: the RAPL counters cannot be read ({reason})"
    total = 0

    def read() -> float:
        nonlocal total
        for i, zone in enumerate(zones):
            now = int((zone / "energy_uj").read_text())
            total += (now - before[i]) % (ranges[i] + 1)  # counters wrap around
            before[i] = now
        return _MICRO * total

    return read, f"RAPL, {len(zones)} package{'s' * (len(zones) != 1)}"


def _gpu_meter(index: int) -> tuple[Meter | None, str]:
    try:
        import pynvml

        pynvml.nvmlInit()
        handle: Any = pynvml.nvmlDeviceGetHandleByIndex(index)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except ImportError:
        return None, "unavailable: nvidia-ml-py is not installed"
    except Exception as error:  # NVML's own, of which there are many
        return None, f"unavailable: {error}"
    return lambda: _MILLI * pynvml.nvmlDeviceGetTotalEnergyConsumption(handle), "NVML"
