"""From a function's source to machine code, kept on disk.

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
from numba import extending
from numba.core import types

from triops.backends.numpy.compiled.cache import cache_of
from triops.backends.numpy.compiled.parts import PartCompiler

__all__ = [
    "FAST", "FASTER", "apart", "called", "compiled", "count_compiled", "inlined", "intrinsic", "source_of",
    "summed", "within",
]  # fmt: skip

# Contraction into fused multiply-adds and the sign of zero are free; NaN and infinity keep their meaning.
FAST = frozenset({"contract", "nsz"})
# Sums may be taken in any order besides, which is what lets them be vectorised.
FASTER = FAST | {"reassoc"}

# What a function has that Python never calls.
_PART = {"no_cpython_wrapper": True, "pipeline_class": PartCompiler}

F = TypeVar("F", bound=Callable[..., Any])


def inlined(function: F) -> F:
    """A function of numbers that becomes part of the loop that calls it."""
    return _inner(function, FAST, **_PART)


def summed(function: F) -> F:
    """A function of a row that sums it up: the only place where the order of a sum is free. It is optimised by
    itself, so that the order is the same in whatever it becomes part of."""
    return _inner(function, FASTER, no_cpython_wrapper=True)


def called(function: F) -> F:
    """A function of whole blocks, with loops of its own."""
    return _inner(function, FAST, **_PART)


def _inner(function: F, fastmath: frozenset[str], **settings: Any) -> F:
    # LLVM takes it into its callers, in less time than Numba with inline="always".
    return numba.njit(**_settings(fastmath), **settings)(function)  # type: ignore[no-any-return]


def _settings(fastmath: frozenset[str]) -> dict[str, Any]:
    return {"fastmath": set(fastmath), "error_model": "numpy", "no_cfunc_wrapper": True}


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that writes the instructions of the compiler itself."""
    return extending.intrinsic(function)  # type: ignore[no-any-return]


@intrinsic
def apart(context: Any) -> Any:
    """The function that this is called in stays one of its own: it is compiled once for all its calls."""
    return types.void(), _with_attribute("noinline")


@intrinsic
def within(context: Any) -> Any:
    """The function that this is called in becomes part of its callers, however long it is."""
    return types.void(), _with_attribute("alwaysinline")


def _with_attribute(name: str) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add(name)
        return context.get_dummy_value()

    return generate


def source_of(function: Callable[..., Any]) -> tuple[str, str]:
    """The name of a function and its text."""
    return function.__name__, textwrap.dedent(inspect.getsource(function))


def compiled(
    name: str, source: str, names: Mapping[str, Any], fastmath: frozenset[str] = FAST, *, kept: bool = True
) -> Callable[..., Any]:
    """The function of that source text, over `names`, which runs without the interpreter's lock. kept: on disk,
    except what is only a part of another function."""
    unique = f"{name}_{_digest()}"
    head, _, body = source.partition("(")
    assert head.startswith("def ")
    namespace = {**names, "__name__": __name__}
    exec(compile(f"def {unique}({body}", __file__, "exec", dont_inherit=True), namespace)
    dispatcher = numba.njit(nogil=True, **_settings(fastmath), **({} if kept else _PART))(namespace[unique])
    if kept:
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
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
