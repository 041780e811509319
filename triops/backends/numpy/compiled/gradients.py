"""All of a small layer's gradient as one kernel: its products take no longer than to ask a BLAS for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triops.backends.numpy.compiled.blocks import THRESHOLD, reads_as_it_lies, times, turned_times
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.jit import called
from triops.backends.numpy.compiled.scratch import empty

__all__ = ["gradient_kernel", "is_small"]

_lies = called(reads_as_it_lies)


def is_small(X: Any, W: Any) -> bool:
    """Whether a layer's product is, and tiles read X and W as they lie."""
    return bool(len(X) * W.size < THRESHOLD and reads_as_it_lies(*X.shape) and reads_as_it_lies(*W.shape))


def gradient_kernel(
    name: str, given: str, of_scores: list[str], names: Mapping[str, Any], *, wants_dX: bool
) -> Kernel:
    """A kernel of dY, X, W, what is given, dX where it is wanted, and dW, for what `is_small`; else it returns 1.
    of_scores: lines that make dZ."""
    lines = [
        f"def kernel(dY, X, W, {given}):",
        "    if not (lies(X.shape[0], X.shape[1]) and lies(W.shape[0], W.shape[1])):",
        "        return 1",
        *(f"    {line}" for line in of_scores),
        *(["    times(dZ, W, dX)"] if wants_dX else []),
        "    turned_times(dZ, X, dW)",
        "    return 0",
    ]
    used = {"empty": empty, "lies": _lies, "times": times, "turned_times": turned_times}
    return Kernel((f"{name}_few_{wants_dX}", "\n".join(lines)), {**names, **used}, {}, threshold=THRESHOLD)
