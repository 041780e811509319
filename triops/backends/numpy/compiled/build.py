"""How a kernel's source becomes machine code.

A kernel is written once, over `prange`; it is compiled for one thread and, where TBB is, for several. Numba's
cache on disk tells functions apart by file, line and name, not by what they close over or by their options, so
each variant is defined from source text under a name of its own, with a digest of all kernel sources in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

from triops.backends.numpy.compiled.threads import load_tbb

__all__ = ["FAST", "FASTER", "Kernel", "inlined"]

# Contraction into fused multiply-adds and the sign of zero are free; NaN and infinity keep their meaning.
FAST = frozenset({"contract", "nsz"})
# Sums may be taken in any order besides, which is what lets them be vectorised.
FASTER = FAST | {"reassoc"}

inlined = numba.njit(inline="always")

_HERE = Path(__file__).parent


@cache
def _digest() -> str:
    digest = hashlib.blake2b(digest_size=6)
    for source in sorted(_HERE.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


class Kernel:
    """One loop nest, compiled when it is first called.

    source: a function definition named `kernel` whose outer loop is over `prange`. names: what it refers to.
    threshold: numbers of work from which several threads pay.
    """

    def __init__(
        self, name: str, source: str, names: dict[str, Any], *, fastmath: frozenset[str] = FAST, threshold: int
    ) -> None:
        self._variants = {
            parallel: _compiled(f"{name}_{'threads' if parallel else 'thread'}", source, names, fastmath, parallel)
            for parallel in {False, load_tbb()}
        }
        self._one = self._variants[False]
        self._several = self._variants.get(True, self._one)
        self._threshold = threshold

    def __call__(self, work: int, *args: Any) -> None:
        (self._one if work < self._threshold else self._several)(*args)


def _compiled(
    name: str, source: str, names: dict[str, Any], fastmath: frozenset[str], parallel: bool
) -> Callable[..., None]:
    unique = f"{name}_{_digest()}"
    text = source.replace("def kernel(", f"def {unique}(")
    if not parallel:
        text = text.replace("prange(", "range(")
    namespace = {"prange": numba.prange, "__name__": __name__, **names}
    exec(compile(text, __file__, "exec"), namespace)
    options = {
        "nogil": True, "parallel": parallel, "fastmath": set(fastmath), "error_model": "numpy",
    }  # fmt: skip
    try:
        return numba.njit(cache=True, **options)(namespace[unique])  # type: ignore[no-any-return]
    except RuntimeError:
        # There is no folder that a cache could be written to: compile in every process.
        return numba.njit(**options)(namespace[unique])  # type: ignore[no-any-return]
