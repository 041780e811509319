"""What this machine is, as far as speed depends on it, in JSON's types. Names of people, hosts and paths are
left out, so that a description can be shown to anyone."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from triops.backends.cgroup import cgroup_limits
from triops.bench.extras import load_extra

__all__ = [
    "blas_hint",
    "cpu_times",
    "describe_caches",
    "describe_gpus",
    "describe_machine",
    "describe_threads",
    "load_average",
]

# Those that decide which kernels a BLAS, XLA or a compiler picks, oldest first; "asimd" is ARM's NEON.
_INSTRUCTION_SETS = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
_WITHOUT_AVX512 = frozenset({"Haswell", "Zen", "Sandybridge", "Nehalem", "Prescott", "Core2"})
_RENAMED = {"asimd": "neon", "asimddp": "dotprod"}

_CACHE_SIZE = re.compile(r"(\d+)([KMG])")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}

_SETTINGS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_CORETYPE", "CUDA_VISIBLE_DEVICES",
    "JAX_PLATFORMS", "XLA_FLAGS",
)  # fmt: skip


def describe_machine(*, host_name: bool = False) -> dict[str, Any]:
    """CPU, memory in bytes, operating system, GPUs and threads; with `host_name`, the machine's name, too. What
    the machine does not tell is None. Raises BackendUnavailable where psutil or py-cpuinfo is missing."""
    psutil = load_extra("psutil", "psutil")
    cpu = load_extra("cpuinfo", "py-cpuinfo2").get_cpu_info()
    flags = set(cpu.get("flags", ()))
    cpu_limit, memory_limit = cgroup_limits()
    named = {"host_name": platform.node()} if host_name else {}
    return named | {
        "cpu": {
            "model": cpu.get("brand_raw") or platform.processor() or platform.machine(),
            "architecture": platform.machine(),
            "physical_cores": psutil.cpu_count(logical=False),
            "logical_cores": psutil.cpu_count(),
            "usable_cores": _usable_cores(),
            "cgroup_cpus": cpu_limit,
            "cgroup_cpu_set": _text_of("/sys/fs/cgroup/cpuset.cpus.effective"),
            "caches": describe_caches(),
            "frequency": _frequency(psutil),
            "virtual": _is_virtual(flags),
            "instruction_sets": [_RENAMED.get(name, name) for name in _INSTRUCTION_SETS if name in flags],
        },
        "memory": {"total_bytes": psutil.virtual_memory().total, "cgroup_bytes": memory_limit},
        "os": _describe_os(),
        "gpus": describe_gpus(),
        "threads": describe_threads(),
    }


def describe_caches(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> list[dict[str, Any]] | None:
    """The caches that the first core uses: level, what they hold, bytes, and how many logical cores share
    each."""
    caches = []
    for index in sorted(folder.glob("index*")):
        level, kind, size, shared = (
            _text_of(index / name) for name in ("level", "type", "size", "shared_cpu_list")
        )
        if level and kind and size and (match := _CACHE_SIZE.fullmatch(size)):
            caches.append(
                {
                    "level": int(level),
                    "type": kind.lower(),
                    "bytes": int(match[1]) * _UNITS[match[2]],
                    "shared_by": _count_cpus(shared) if shared else None,
                }
            )
    return caches or None


def _count_cpus(text: str) -> int:
    """How many there are in a list as 0-3,8."""
    total = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def _frequency(psutil: Any) -> dict[str, Any]:
    """MHz as the system tells, and by which policy it chooses; None where it does not tell."""
    found = getattr(psutil, "cpu_freq", lambda: None)()
    policy = "/sys/devices/system/cpu/cpu0/cpufreq"
    turbo = _text_of("/sys/devices/system/cpu/intel_pstate/no_turbo")
    boost = _text_of("/sys/devices/system/cpu/cpufreq/boost")
    return {
        "now_mhz": round(found.current) if found else None,
        "max_mhz": round(found.max) if found and found.max else None,
        "governor": _text_of(f"{policy}/scaling_governor"),
        "driver": _text_of(f"{policy}/scaling_driver"),
        "boost": (turbo == "0") if turbo is not None else (boost == "1") if boost is not None else None,
    }


def _is_virtual(flags: set[str]) -> bool | None:
    """Whether the CPU says that a hypervisor is below; only x86 does."""
    return ("hypervisor" in flags) if platform.machine() in ("x86_64", "AMD64") else None


def _text_of(path: str | Path) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def blas_hint(machine: dict[str, Any]) -> str | None:
    """What holds NumPy's BLAS back, where a setting keeps it from what the CPU of this description can do."""
    chosen = machine["threads"]["settings"].get("OPENBLAS_CORETYPE")
    kernels = {
        pool.get("architecture") for pool in machine["threads"]["pools"] if pool["internal_api"] == "openblas"
    }
    wide = "avx512f" in machine["cpu"]["instruction_sets"]
    if chosen is None or not wide or not kernels & _WITHOUT_AVX512:
        return None
    return (
        f"OPENBLAS_CORETYPE={chosen} keeps OpenBLAS from this CPU's AVX-512: matrix products may take twice as "
        f"long; unset it"
    )


def load_average() -> float:
    """How many processes wanted a core in the last minute, on average; 0 on Windows when first asked. Raises
    BackendUnavailable where psutil is missing."""
    return float(load_extra("psutil", "psutil").getloadavg()[0])


def cpu_times() -> dict[str, float]:
    """Seconds that all cores together have spent on each kind of work since the machine started; "steal", where
    it is among them, is what a virtual machine's host gave to others. Raises BackendUnavailable where psutil is
    missing."""
    # A guest's time is in the user's, too.
    times = load_extra("psutil", "psutil").cpu_times()._asdict()
    return {name: seconds for name, seconds in times.items() if not name.startswith("guest")}


def describe_gpus() -> list[dict[str, Any]] | None:
    """The GPUs that NVIDIA's management library shows: name, memory in bytes, driver. None where its Python
    package, nvidia-ml-py, is not installed; an empty list where there is no driver or no GPU."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [
            {
                "name": _text(pynvml.nvmlDeviceGetName(handle)),
                "memory_bytes": _gpu_memory(pynvml, handle),
                "driver": _text(pynvml.nvmlSystemGetDriverVersion()),
                **{name: _asked(pynvml, name, handle) for name in _GPU_QUESTIONS},
            }
            for handle in handles
        ]
    finally:
        pynvml.nvmlShutdown()


# What NVML is asked of each GPU, in its own units: MHz, watts (of milliwatts), a number or a bit mask.
_GPU_QUESTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "power_limit_w": lambda nvml, handle: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
    "max_sm_mhz": lambda nvml, handle: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
    "throttled_for": lambda nvml, handle: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
}


def _asked(pynvml: Any, name: str, handle: Any) -> Any:
    try:
        return _GPU_QUESTIONS[name](pynvml, handle)
    except (pynvml.NVMLError, AttributeError):  # not every GPU and not every version of NVML knows
        return None


def _gpu_memory(pynvml: Any, handle: Any) -> int | None:
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError:  # a GPU that shares the host's memory has none of its own
        return None


def describe_threads() -> dict[str, Any]:
    """The environment's settings of threads and kernels, and the thread pools of the libraries that are loaded
    by now, each with the package it came with. XLA's own pool, as wide as the usable cores, is not among them:
    nothing shows it."""
    from threadpoolctl import threadpool_info

    keys = ("user_api", "internal_api", "version", "architecture", "threading_layer", "num_threads")
    return {
        "settings": {name: _without_paths(os.environ[name]) for name in _SETTINGS if os.environ.get(name)},
        "pools": [
            {key: pool[key] for key in keys if key in pool} | {"package": _package(pool["filepath"])}
            for pool in threadpool_info()
        ],
    }


def _describe_os() -> dict[str, str]:
    description = {"system": platform.system(), "release": platform.release()}
    try:
        description["distribution"] = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        description["distribution"] = platform.platform(aliased=True, terse=True)
    return description


def _usable_cores() -> int | None:
    """How many cores the scheduler may give to this process; not every system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _package(library: str) -> str | None:
    """The Python package that a shared library came with, None for the system's own."""
    folders = PurePath(library).parts
    if "site-packages" not in folders:
        return None
    return folders[folders.index("site-packages") + 1].removesuffix(".libs")


def _without_paths(value: str) -> str:
    """A setting without the words that hold a path, such as where XLA is to dump its programs."""
    return " ".join(word for word in value.split() if "/" not in word and "\\" not in word)


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
