"""How arrays are held and computed: one package a backend, each loaded only when it is asked for.

Here, and in `triops.models.wrappers`, array frameworks are imported; nowhere else. Nothing here knows
about ops or models: a backend offers an array namespace, memory, host draws, and faster kernels by op
name."""

from triops.backends.backend import Backend, Device
from triops.backends.registry import (
    BackendStatus,
    backend_names,
    backend_status,
    load_backend,
    owner_of,
)

__all__ = [
    "Backend",
    "BackendStatus",
    "Device",
    "backend_names",
    "backend_status",
    "load_backend",
    "owner_of",
]
