"""What was compiled in this process: how many seconds frameworks have spent on it, as they report it themselves,
and how many kernels came of it."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

__all__ = ["compile_direct", "compile_seconds", "kernels_compiled"]

# Tracing is left out: a program's time has those of the programs inside it in it, and would be counted twice.
_XLA_EVENTS = ("/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration")


def compile_seconds() -> float:
    """Seconds since this was first called with a framework loaded: XLA's lowering and compiling, and what Numba
    compiles. CuPy's compiler tells nobody."""
    heard = 0.0
    if "jax" in sys.modules:
        heard += sum(_heard_of_xla())
    if "numba" in sys.modules:
        listener = _numba_listener()
        heard += listener.duration if listener.done else 0.0
    return heard


def kernels_compiled() -> int:
    """How many kernels for the CPU this process has compiled, since they were not on disk."""
    if "numba" not in sys.modules:
        return 0
    from triops.backends.numpy.compiled.jit import count_compiled

    return count_compiled()[1]


def compile_direct(op: str) -> None:
    """Compile what an op's small arrays go to without Python, which comes by itself after many calls."""
    if "numba" in sys.modules:
        from triops.backends.numpy.compiled import direct

        direct.compile_direct(op)


@cache
def _heard_of_xla() -> list[float]:
    import jax

    seconds: list[float] = []

    def hear(event: str, duration: float, **details: Any) -> None:
        if event in _XLA_EVENTS:
            seconds.append(duration)

    jax.monitoring.register_event_duration_secs_listener(hear)
    return seconds


@cache
def _numba_listener() -> Any:
    from numba.core import event

    listener = event.TimingListener()
    event.register("numba:compile", listener)
    return listener
