"""Choosing ops.

A choice for the process (`set_current_ops`, `prefer_gpu`, TRIOPS_BACKEND) is seen by every thread, task and
notebook cell. `use_ops` chooses for a block, in this thread or task alone. Either only decides what new
models are bound to: a model keeps the ops it was made with.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from triops.backends import (
    BackendStatus,
    Device,
    backend_names,
    backend_status,
    load_backend,
    owner_of,
)
from triops.backends.backend import Backend
from triops.errors import ArgumentError, BackendUnavailable, DTypeError
from triops.ops.ops import Ops
from triops.types import Array

__all__ = [
    "available_backends",
    "get_current_ops",
    "get_ops",
    "ops_of",
    "prefer_gpu",
    "require_cpu",
    "require_gpu",
    "set_current_ops",
    "to_numpy",
    "use_ops",
]

_ACCELERATORS = ("cupy", "jax")
_ops: dict[Backend, Ops] = {}
_lock = threading.Lock()
_for_process: Ops | None = None
_for_block: ContextVar[Ops | None] = ContextVar("triops_ops", default=None)


def get_ops(name: str | Ops = "auto", device: str | None = None) -> Ops:
    """The ops of a backend on a device; the same object each time.

    name: "numpy", "cupy", "jax"; "cpu" for NumPy; "gpu" for CuPy, or else JAX, on a GPU; "auto" for a GPU
        where one works, else NumPy.
    device: as in "cuda:1", "tpu:0", "cpu:3"; the backend's first device where it is left out.

    Raises BackendUnavailable, saying what to install or choose, where it cannot be had.
    """
    if isinstance(name, Ops):
        return name
    if name == "cpu":
        return _ops_over(load_backend("numpy", device))
    if name == "gpu":
        return _gpu_ops(device)
    if name == "auto":
        try:
            return _gpu_ops(device)
        except BackendUnavailable:
            return _ops_over(load_backend("numpy", device))
    if name not in backend_names():
        known = ", ".join(repr(known) for known in (*backend_names(), "cpu", "gpu", "auto"))
        raise BackendUnavailable(f"unknown backend {name!r}: choose one of {known}")
    return _ops_over(load_backend(name, device))


def get_current_ops() -> Ops:
    """The ops that a new model is bound to: of the innermost `use_ops` block, or else the process's choice,
    or else the backend that TRIOPS_BACKEND names, or else NumPy."""
    chosen = _for_block.get() or _for_process
    if chosen is not None:
        return chosen
    wanted = os.environ.get("TRIOPS_BACKEND", "").strip() or "numpy"
    try:
        ops = get_ops(wanted)
    except BackendUnavailable as error:
        if wanted == "numpy":
            raise
        raise BackendUnavailable(f"TRIOPS_BACKEND={wanted}: {error.message}") from error
    set_current_ops(ops)
    return ops


def set_current_ops(ops: Ops | str) -> None:
    """Choose for the whole process: every thread, task and notebook cell, outside `use_ops` blocks."""
    global _for_process
    chosen = get_ops(ops)
    chosen.backend.activate()
    _for_process = chosen


@contextmanager
def use_ops(name: str | Ops, device: str | None = None) -> Iterator[Ops]:
    """Choose for a block of code, in this thread or task: `with use_ops("jax") as ops: ...`."""
    ops = get_ops(name, device)
    previous = _for_block.get() or _for_process
    token = _for_block.set(ops)
    ops.backend.activate()
    try:
        yield ops
    finally:
        _for_block.reset(token)
        if previous is not None:
            previous.backend.activate()


def ops_of(array: Array) -> Ops:
    """The ops that own an array. Raises DTypeError where it is no backend's array."""
    backend = owner_of(array)
    if backend is None:
        raise DTypeError(
            f"ops_of: array must be an array of {', '.join(backend_names())}, got "
            f"{type(array).__name__}: convert it with ops.asarray(...)"
        )
    return _ops_over(backend)


def to_numpy(array: Any) -> Any:
    """Any backend's array as a NumPy array on the host. It may be a read-only view: copy it to write."""
    return ops_of(array).to_numpy(array)


def available_backends() -> dict[str, BackendStatus]:
    """Each backend by name, with its devices and versions, or the reason why it cannot be used and what to
    install. It loads every framework that is installed, which can take seconds."""
    return {name: backend_status(name) for name in backend_names()}


def prefer_gpu(gpu_id: int = 0) -> bool:
    """Choose the GPU for the process where one works; returns whether it does."""
    try:
        return require_gpu(gpu_id)
    except BackendUnavailable:
        return False


def require_gpu(gpu_id: int = 0) -> bool:
    """Choose the GPU for the process; raises BackendUnavailable, with each reason, where none works."""
    if gpu_id < 0:
        raise ArgumentError(f"require_gpu: gpu_id must be 0 or more, got {gpu_id}")
    set_current_ops(_gpu_ops(f"cuda:{gpu_id}"))
    return True


def require_cpu() -> bool:
    """Choose NumPy on the CPU for the process."""
    set_current_ops(get_ops("cpu"))
    return True


def _gpu_ops(device: str | None) -> Ops:
    if device is not None and Device.parse(device).kind == "cpu":
        raise BackendUnavailable(f"device {device!r} is no GPU: name one as in 'cuda:0', or choose 'cpu'")
    reasons = []
    for name in _ACCELERATORS:
        try:
            if device is not None:
                return _ops_over(load_backend(name, device))
            for found in backend_status(name).devices:
                if Device.parse(found).kind != "cpu":
                    return _ops_over(load_backend(name, found))
            status = backend_status(name)
            reasons.append(status.reason or f"{name} has only {', '.join(status.devices)}")
        except BackendUnavailable as error:
            reasons.append(error.message)
    raise BackendUnavailable(f"no GPU can be used: {'; '.join(reasons)}")


def _ops_over(backend: Backend) -> Ops:
    with _lock:
        if backend not in _ops:
            _ops[backend] = Ops(backend)
        return _ops[backend]
