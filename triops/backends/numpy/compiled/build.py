"""How a kernel becomes machine code.

A kernel is a plain loop over the leading entries of its arrays, which the compiler vectorises. Threads are put
around it: a generated driver gives each a slice. Indices that a parallel loop hands out keep a body from being
vectorised, slices do not.

Numba's cache on disk tells functions apart by file, line and name, not by what they close over or by their
options, so every function is defined from source text under a name of its own, with a digest of all kernel
sources in it.
"""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

from triops.backends.numpy.compiled.threads import load_tbb

__all__ = ["FAST", "FASTER", "Kernel", "inlined", "on_one_thread", "summed"]

# Contraction into fused multiply-adds and the sign of zero are free; NaN and infinity keep their meaning.
FAST = frozenset({"contract", "nsz"})
# Sums may be taken in any order besides, which is what lets them be vectorised.
FASTER = FAST | {"reassoc"}

F = TypeVar("F", bound=Callable[..., Any])


def inlined(function: F) -> F:
    """A function of numbers that becomes part of the loop that calls it."""
    return numba.njit(inline="always")(function)  # type: ignore[no-any-return]


def summed(function: F) -> F:
    """A function of a row that sums it up: the only place where the order of a sum is free."""
    return numba.njit(fastmath=set(FASTER), error_model="numpy")(function)  # type: ignore[no-any-return]


_HERE = Path(__file__).parent
_SLICES_A_THREAD = 4  # several, so that a thread that was held up does not hold up the rest


class Kernel:
    """One loop nest, compiled when it is first called.

    function: a function over float32 arrays, or its name and source. sliced: how many entries of each array
    belong to one unit of work; arrays that are not named go whole to every slice. An argument `start` is the
    first unit of the slice; an argument `part` its number. threshold: units of work from which threads pay.
    """

    def __init__(
        self,
        function: Callable[..., None] | tuple[str, str],
        names: Mapping[str, Any],
        sliced: Mapping[str, int],
        *,
        fastmath: frozenset[str] = FAST,
        threshold: int,
    ) -> None:
        name, source = function if isinstance(function, tuple) else _source(function)
        arguments = source.split("(", 1)[1].split(")", 1)[0]
        parameters = [argument.split(":")[0].strip() for argument in arguments.split(",") if argument.strip()]
        inner = _compiled(f"{name}_slice", source, names, fastmath, parallel=False)
        self._drivers = [
            _compiled(
                f"{name}_{'threads' if parallel else 'thread'}",
                _driver(parameters, sliced),
                {"inner": inner},
                fastmath,
                parallel=parallel,
            )
            for parallel in (False, load_tbb())
        ]
        self._threshold = threshold
        self._slices = _SLICES_A_THREAD * numba.config.NUMBA_NUM_THREADS

    def __call__(self, work: int, *args: Any, slices: int | None = None) -> None:
        """Do `work` units, in exactly `slices` slices where each has a place of its own in an argument."""
        if work < self._threshold:
            self._drivers[0](work, slices or 1, *args)
        else:
            self._drivers[1](work, slices or self._slices, *args)


def on_one_thread(function: Callable[..., Any], names: Mapping[str, Any]) -> Callable[..., Any]:
    """A function that is too short for slices, and may return a result."""
    return _compiled(*_source(function), names, FAST, parallel=False)


def _source(function: Callable[..., None]) -> tuple[str, str]:
    return function.__name__, textwrap.dedent(inspect.getsource(function))


def _driver(parameters: list[str], sliced: Mapping[str, int]) -> str:
    given = [name for name in parameters if name not in ("start", "part")]
    passed = {"start": "lo", "part": "part"} | {
        name: f"{name}[{step} * lo : {step} * hi]" for name, step in sliced.items()
    }
    return (
        f"def driver(work, slices, {', '.join(given)}):\n"
        f"    for part in prange(slices):\n"
        f"        lo = part * work // slices\n"
        f"        hi = (part + 1) * work // slices\n"
        f"        inner({', '.join(passed.get(name, name) for name in parameters)})\n"
    )


def _compiled(
    name: str, source: str, names: Mapping[str, Any], fastmath: frozenset[str], *, parallel: bool
) -> Callable[..., None]:
    unique = f"{name}_{_digest()}"
    head, _, body = source.partition("(")
    text = f"def {unique}({body}"
    assert head.startswith("def ")
    namespace = {**names, "prange": numba.prange if parallel else range, "__name__": __name__}
    exec(compile(text, __file__, "exec", dont_inherit=True), namespace)
    options = {"nogil": True, "parallel": parallel, "fastmath": set(fastmath), "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(namespace[unique])  # type: ignore[no-any-return]
    except RuntimeError:
        # There is no folder that a cache could be written to: compile in every process.
        return numba.njit(**options)(namespace[unique])  # type: ignore[no-any-return]


@cache
def _digest() -> str:
    digest = hashlib.blake2b(digest_size=6)
    for source in sorted(_HERE.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
