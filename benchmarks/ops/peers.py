"""Who is measured. Each peer gives its library to a case's function, takes NumPy arrays in and out, and waits
for what it computes; one whose library is missing is left out, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.ops.case import Case
from benchmarks.report import load_each
from triops import get_ops

__all__ = ["OURS", "Peer", "load_peers"]

OURS = "triops-numpy"


@dataclass(frozen=True)
class Peer:
    """One column of the table."""

    name: str
    version: str
    bind: Callable[[Case], Callable[..., Any] | None]  # a case's function for this peer, None where it has none
    array: Callable[[Any], Any] = lambda array: array  # from NumPy
    numpy: Callable[[Any], Any] = np.asarray
    wait: Callable[[Any], Any] | None = None  # until a result is computed


def load_peers() -> tuple[list[Peer], dict[str, str]]:
    """All that can be used here, triops-numpy first, and the reason for each other."""
    return load_each({OURS: lambda: _triops("numpy"), **_OTHERS})


def _first(function: Callable[..., Any] | None, library: Any) -> Callable[..., Any] | None:
    if function is None:
        return None
    return lambda *arrays: function(library, *arrays)


def _triops(backend: str) -> Peer:
    ops = get_ops(backend, "cpu:0")
    versions = ", ".join(f"{name} {version}" for name, version in ops.backend.versions().items())
    asynchronous = backend != "numpy"
    return Peer(
        f"triops-{backend}",
        versions,
        lambda case: _first(case.triops, ops),
        lambda array: ops.asarray(array, dtype=array.dtype),
        ops.to_numpy,
        (lambda result: ops.synchronize(*(result if isinstance(result, tuple) else (result,))))
        if asynchronous
        else None,
    )


def _thinc() -> Peer:
    import thinc
    from thinc.backends import NumpyOps

    ops = NumpyOps()
    return Peer("thinc", thinc.__version__, lambda case: _first(case.peers.thinc, ops))


def _torch() -> Peer:
    import torch

    # No gradients are recorded: autograd's own functions are called where a gradient is measured.
    torch.set_grad_enabled(False)
    return Peer(
        "torch",
        torch.__version__,
        lambda case: _first(case.peers.torch, torch),
        torch.from_numpy,
        lambda tensor: tensor.numpy(),
    )


def _jax() -> Peer:
    import jax

    cpu = jax.devices("cpu")[0]

    def bind(case: Case) -> Callable[..., Any] | None:
        function = _first(case.peers.jax, jax)
        return None if function is None else jax.jit(function)

    return Peer(
        "jax-jit", jax.__version__, bind, lambda array: jax.device_put(array, cpu), wait=jax.block_until_ready
    )


_OTHERS: dict[str, Callable[[], Peer]] = {
    "triops-jax": lambda: _triops("jax"),
    "thinc": _thinc,
    "torch": _torch,
    "jax-jit": _jax,
}
