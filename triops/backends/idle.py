"""OpenBLAS's threads, made to leave the cores to the threads of kernels.

Between two products OpenBLAS's threads spin for 2²⁶ ticks of the processor's clock, some 25 ms, and take the
cores that the kernels between the products need: attention after a product took twice as long as alone. A shorter
wait costs the products nothing that could be measured."""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache

__all__ = ["rest_idle_threads"]

_VARIABLE = "OPENBLAS_THREAD_TIMEOUT"
_TICKS = 18  # a power of two: 0.1 ms, as long as the steps of Python between two products


@cache
def rest_idle_threads(library: str) -> bool:
    """Let the threads of an OpenBLAS that is loaded from this file rest sooner; returns whether it was done.

    A number that the environment has already stays. OpenBLAS reads it when it starts its threads, and so they
    are started anew, which is safe while this is the only thread of Python."""
    if _VARIABLE in os.environ or "openblas" not in os.path.basename(library):
        return False
    if threading.active_count() > 1:
        return False
    blas = ctypes.CDLL(library)
    steps = [getattr(blas, name, None) for name in ("openblas_read_env", "blas_thread_shutdown_")]
    if None in steps:
        return False
    os.environ[_VARIABLE] = str(_TICKS)
    try:
        for step in steps:
            step()  # type: ignore[misc]
    finally:
        # Of other libraries that this program starts nothing is known.
        del os.environ[_VARIABLE]
    return True
