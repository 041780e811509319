"""What `triops info` tells, in JSON's types: versions, the machine, and what each backend can do on it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import triops
from triops import available_backends, get_current_ops, get_num_threads
from triops.bench.machine import describe_gpus, describe_machine, describe_threads
from triops.errors import BackendUnavailable

__all__ = ["collect_info"]


def collect_info() -> dict[str, Any]:
    """Everything that `triops info` shows. It loads every framework that is installed, and never fails for
    what is missing: the reason stands in its place, as `machine_reason` or `current_reason`."""
    backends = {name: asdict(status) for name, status in available_backends().items()}
    return {
        "triops": triops.__version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        **_machine(),
        "backends": backends,
        "compiled_cpu_kernels": _compiled_cpu_kernels(backends["numpy"]),
        "TRIOPS_BACKEND": os.environ.get("TRIOPS_BACKEND"),
        **_current(),
    }


def _machine() -> dict[str, Any]:
    try:
        return {"machine": describe_machine(), "machine_reason": None}
    except BackendUnavailable as error:
        known = {"gpus": describe_gpus(), "threads": describe_threads()}
        return {"machine": known, "machine_reason": error.message}


def _current() -> dict[str, Any]:
    try:
        ops = get_current_ops()
    except BackendUnavailable as error:
        return {"current": None, "current_reason": error.message}
    return {"current": {"backend": ops.name, "device": ops.device}, "current_reason": None}


def _compiled_cpu_kernels(numpy: dict[str, Any]) -> dict[str, Any]:
    """Whether Numba compiles kernels for the CPU. The backend says what it computes with: Numba may be
    installed for something else and not be used."""
    try:
        installed = version("numba")
    except PackageNotFoundError:
        installed = None
    return {"used": "numba" in numpy["versions"], "numba_installed": installed, **_how_kernels_run()}


def _how_kernels_run() -> dict[str, Any]:
    """On how many threads, and the folder that keeps kernels."""
    try:
        from triops.backends.numpy.compiled.cache import cache_folder
    except ImportError:
        return {}
    folder, writable = cache_folder()
    return {
        "threads": get_num_threads(),
        "cache": folder,
        "cache_is_writable": writable,
    }
