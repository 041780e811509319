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
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np

from triops.backends.numpy.compiled.cache import cache_of, is_cached
from triops.backends.numpy.compiled.threads import kernel_threads

__all__ = ["FAST", "FASTER", "Kernel", "called", "count_compiled", "inlined", "on_one_thread", "summed"]

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


def called(function: F) -> F:
    """A function of whole blocks, with loops of its own."""
    return numba.njit(fastmath=set(FAST), error_model="numpy")(function)  # type: ignore[no-any-return]


_HERE = Path(__file__).parent
# The last entries of an array that fill no vector may round otherwise. Slices of whole vectors have none but the
# array's own, so that results do not depend on the number of threads. Rows and sequences need no such care.
_GRAIN, _MANY = 64, 1024
_OF_SLICE = ("start", "part")
_SLICES_A_THREAD = 4  # several, so that a thread that was held up does not hold up the rest


class Kernel:
    """One loop nest, compiled when it is first called.

    function: a function over float32 arrays, or its name and source. sliced: how many entries of each array
    belong to one unit of work; arrays that are not named go whole to every slice. A last argument `start` is the
    first unit of the slice; a last argument `part` its number. threshold: units of work from which threads pay.
    """

    def __init__(
        self,
        function: Callable[..., None] | tuple[str, str],
        names: Mapping[str, Any],
        sliced: Mapping[str, int],
        *,
        fastmath: frozenset[str] = FAST,
        threshold: int,
        grain: int | None = None,
    ) -> None:
        self._function, self._names, self._sliced = function, names, sliced
        self._fastmath, self._threshold = fastmath, threshold
        self._grain = grain or (_GRAIN if threshold > _MANY else 1)
        self._asked = False

    def __call__(self, work: int, *args: Any, slices: int | None = None, size: int | None = None) -> None:
        """Do `work` units, in exactly `slices` slices where each has a place of its own in an argument. size:
        what to compare with the threshold, where units are not of one size."""
        if (work if size is None else size) >= self._threshold and (threads := kernel_threads()) > 1:
            if self._pays():
                self._on_threads(threads, work, slices or _SLICES_A_THREAD * threads, args)
            else:
                self._in_turn(work, slices or 1, args)
        elif slices is None or slices == 1:
            self._whole(*args, *self._first)
        else:
            self.serial(work, slices, *args)

    @cached_property
    def serial(self) -> Callable[..., None]:
        """The driver that takes slice after slice."""
        return self._driver("thread", parallel=False)

    @cached_property
    def threaded(self) -> Callable[..., None]:
        """The driver that hands slices out to threads."""
        return self._driver("threads", parallel=True)

    def _pays(self) -> bool:
        """Whether to put threads around the loop. Compiling them takes longer than the loop itself, so that the
        first result comes without them, unless they are on disk."""
        if not self._asked:
            self._asked = True
            return is_cached(self.threaded)
        return True

    def _in_turn(self, work: int, slices: int, args: tuple[Any, ...]) -> None:
        """Slice after slice, with no driver to be compiled."""
        grains = -(-work // self._grain)
        for part in range(slices):
            lo = part * grains // slices * self._grain
            hi = min((part + 1) * grains // slices * self._grain, work)
            steps = [self._sliced.get(name) for name in self._parameters]
            cut = [arg[step * lo : step * hi] if step else arg for arg, step in zip(args, steps, strict=False)]
            self._whole(*cut, *({"start": lo, "part": part}[name] for name in self._parameters[len(args) :]))

    def _on_threads(self, threads: int, work: int, slices: int, args: tuple[Any, ...]) -> None:
        if threads >= numba.config.NUMBA_NUM_THREADS:
            self.threaded(work, slices, *args)
            return
        before = numba.get_num_threads()  # of this thread
        numba.set_num_threads(min(threads, before))
        try:
            self.threaded(work, slices, *args)
        finally:
            numba.set_num_threads(before)

    @cached_property
    def _text(self) -> tuple[str, str]:
        return self._function if isinstance(self._function, tuple) else _source(self._function)

    @cached_property
    def _parameters(self) -> list[str]:
        arguments = self._text[1].split("(", 1)[1].split(")", 1)[0]
        return [argument.split(":")[0].strip() for argument in arguments.split(",") if argument.strip()]

    @cached_property
    def _first(self) -> tuple[int, ...]:
        """`start` and `part` where there is one slice. Its driver would only be compiled for nothing."""
        count = sum(name in _OF_SLICE for name in self._parameters)
        assert all(name in _OF_SLICE for name in self._parameters[len(self._parameters) - count :])
        return (0,) * count

    @cached_property
    def _whole(self) -> Callable[..., None]:
        name, source = self._text
        return _compiled(f"{name}_slice", source, self._names, self._fastmath, parallel=False)

    def _driver(self, kind: str, *, parallel: bool) -> Callable[..., None]:
        text = _driver(self._parameters, self._sliced, self._grain)
        names = {"inner": self._whole, "whole": np.int64}
        return _compiled(f"{self._text[0]}_{kind}", text, names, self._fastmath, parallel=parallel)


def on_one_thread(function: Callable[..., Any], names: Mapping[str, Any]) -> Callable[..., Any]:
    """A function that is too short for slices, and may return a result."""
    return _compiled(*_source(function), names, FAST, parallel=False)


def _source(function: Callable[..., None]) -> tuple[str, str]:
    return function.__name__, textwrap.dedent(inspect.getsource(function))


def _driver(parameters: list[str], sliced: Mapping[str, int], grain: int) -> str:
    given = [name for name in parameters if name not in _OF_SLICE]
    passed = {"start": "whole(lo)", "part": "whole(part)"} | {
        name: f"{name}[{step} * lo : {step} * hi]" for name, step in sliced.items()
    }
    return (
        f"def driver(work, slices, {', '.join(given)}):\n"
        f"    grains = (work + {grain - 1}) // {grain}\n"
        f"    for part in prange(slices):\n"
        f"        lo = part * grains // slices * {grain}\n"
        f"        hi = min((part + 1) * grains // slices * {grain}, work)\n"
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
    dispatcher = numba.njit(**options)(namespace[unique])
    dispatcher._cache = cache_of(namespace[unique])
    _dispatchers.append(dispatcher)
    return dispatcher  # type: ignore[no-any-return]


_dispatchers: list[Any] = []


def count_compiled() -> tuple[int, int]:
    """How many functions this process has read from the cache on disk, and how many it has compiled."""
    stats = [dispatcher.stats for dispatcher in _dispatchers]
    return sum(sum(s.cache_hits.values()) for s in stats), sum(sum(s.cache_misses.values()) for s in stats)


@cache
def _digest() -> str:
    digest = hashlib.blake2b(digest_size=6)
    for source in sorted(_HERE.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
