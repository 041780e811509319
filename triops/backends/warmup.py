"""Kernels compiled before they are needed, as when an image is built, so that no program waits for them."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable
from dataclasses import dataclass

from triops.errors import ArgumentError, BackendUnavailable

__all__ = ["Warmup", "warmup"]


@dataclass(frozen=True)
class Warmup:
    """What `warmup` did: of how many ops, how many machine codes were on disk, how many were compiled, in how
    many seconds, and which folder keeps them, if any, and whether it takes new ones."""

    ops: int
    cached: int
    compiled: int
    seconds: float
    folder: str | None
    writable: bool


def warmup(filter: str = "*", progress: Callable[[str, int, int], None] | None = None) -> Warmup:
    """Compile the NumPy backend's kernels for this CPU, and keep them on disk.

    filter: an op's name, or a pattern as in `*softmax*`. progress: called before each op with its name, its
    number and how many there are. What this process has used already counts neither as cached nor as compiled.
    Raises ArgumentError where no op has such a name, BackendUnavailable where Numba is missing.
    """
    try:
        from triops.backends.numpy.compiled import COMPILED
        from triops.backends.numpy.compiled.cache import cache_folder
        from triops.backends.numpy.compiled.direct import compile_direct
        from triops.backends.numpy.compiled.jit import count_compiled
        from triops.backends.numpy.compiled.samples import small_and_large
    except ImportError as error:
        raise BackendUnavailable(f"warmup: there is nothing to compile without Numba: {error}") from error
    names = sorted(fnmatch.filter(COMPILED, filter))
    if not names:
        raise ArgumentError(
            f"warmup: no compiled op has a name like {filter!r}: give a name, as relu, or a pattern, as *softmax*"
        )
    started, before = time.perf_counter(), count_compiled()
    for number, name in enumerate(names):
        if progress:
            progress(name, number, len(names))
        for call in small_and_large(name, COMPILED[name]):
            call()
    compile_direct()
    cached, compiled = (now - then for now, then in zip(count_compiled(), before, strict=True))
    return Warmup(len(names), cached, compiled, time.perf_counter() - started, *cache_folder())
