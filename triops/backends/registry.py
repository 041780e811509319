"""The table of backends: where each lives, what it needs, and why it cannot be used."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from dataclasses import dataclass, field

from triops.backends.backend import Backend, Device
from triops.backends.threads import limit_loaded
from triops.errors import BackendUnavailable

__all__ = ["BackendStatus", "backend_names", "backend_status", "load_backend", "owner_of"]


@dataclass(frozen=True)
class _Entry:
    module: str
    requires: str
    install: str


_TABLE = {
    "numpy": _Entry("triops.backends.numpy", "numpy", "pip install numpy"),
    "cupy": _Entry(
        "triops.backends.cupy",
        "cupy",
        "pip install 'triops[cupy-cuda13x]' (or cupy-cuda12x, after the driver's CUDA version)",
    ),
    "jax": _Entry("triops.backends.jax", "jax", "pip install 'triops[jax]'"),
}

_loaded: dict[tuple[str, Device], Backend] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend can be used on this machine, and what to do where it cannot."""

    name: str
    available: bool
    devices: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    install: str = ""


def backend_names() -> tuple[str, ...]:
    """The names that `load_backend` knows."""
    return tuple(_TABLE)


def backend_status(name: str) -> BackendStatus:
    """Load a backend's framework and say what it finds; never raises for a known name."""
    try:
        backend = _backend_class(name)
        devices = backend.devices()
    except BackendUnavailable as error:
        return BackendStatus(name, False, reason=error.message, install=_TABLE[name].install)
    return BackendStatus(name, True, tuple(map(str, devices)), backend.versions())


def load_backend(name: str, device: str | Device | None = None) -> Backend:
    """The backend of that name on that device, or on its first device; one object for each.

    Raises BackendUnavailable where the name, the package or the device is not there.
    """
    backend = _backend_class(name)
    devices = backend.devices()
    wanted = Device.parse(device) if isinstance(device, str) else device or devices[0]
    if wanted not in devices:
        have = ", ".join(map(str, devices))
        raise BackendUnavailable(
            f"backend {name!r} has no device {str(wanted)!r} here: it has {have}; name one of these, or "
            f"leave the device out"
        )
    with _lock:
        key = (name, wanted)
        if key not in _loaded:
            _loaded[key] = backend(wanted)
        return _loaded[key]


def owner_of(data: object) -> Backend | None:
    """The backend that holds an array, or None for data that is no backend's array.

    A framework that was never imported owns nothing, so none is imported to find out.
    """
    for backend in list(_loaded.values()):
        if backend.owns(data):
            return backend
    for name, entry in _TABLE.items():
        if entry.requires not in sys.modules or not hasattr(data, "dtype"):
            continue
        try:
            backend = load_backend(name)
        except BackendUnavailable:
            continue
        if backend.is_array(data):
            return load_backend(name, backend.device_of(data))  # type: ignore[arg-type]
    return None


def _backend_class(name: str) -> type[Backend]:
    entry = _TABLE.get(name)
    if entry is None:
        known = ", ".join(repr(known) for known in _TABLE)
        raise BackendUnavailable(f"unknown backend {name!r}: choose one of {known}")
    if entry.requires not in sys.modules and importlib.util.find_spec(entry.requires) is None:
        raise BackendUnavailable(
            f"backend {name!r} needs the package {entry.requires!r}, which is not installed: {entry.install}"
        )
    try:
        module = importlib.import_module(entry.module)
    except Exception as error:  # an installation that does not fit fails in many ways
        raise BackendUnavailable(f"backend {name!r} cannot be loaded ({error}): {entry.install}") from error
    limit_loaded()
    backend: type[Backend] = module.BACKEND
    return backend
