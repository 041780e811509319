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
from numba.core import cgutils, types

from triops.backends.numpy.compiled.cache import cache_of
from triops.backends.numpy.compiled.compiler import KernelCompiler, PartCompiler, SumCompiler
from triops.backends.numpy.compiled.links import link, may_be_linked

__all__ = [
    "FAST", "FASTER", "called", "compiled", "count_compiled", "inlined", "intrinsic", "linked", "part",
    "source_of", "summed", "within",
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
    return _inner(function, FASTER, no_cpython_wrapper=True, pipeline_class=SumCompiler)


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
def within(context: Any) -> Any:
    """The function that this is called in becomes part of its callers, however long it is."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("alwaysinline")
        return context.get_dummy_value()

    return types.void(), generate


def source_of(function: Callable[..., Any]) -> tuple[str, str]:
    """The name of a function and its text."""
    return function.__name__, textwrap.dedent(inspect.getsource(function))


def compiled(
    name: str, source: str, names: Mapping[str, Any], fastmath: frozenset[str] = FAST, **settings: Any
) -> Callable[..., Any]:
    """The function of that source text, over `names`, which runs without the interpreter's lock. It is kept on
    disk, and can be `linked`."""
    function = _defined(name, source, names)
    settings = {**_settings(fastmath), "pipeline_class": KernelCompiler, **settings}
    dispatcher = numba.njit(nogil=True, **settings)(function)
    dispatcher._cache = cache_of(function)
    _dispatchers.append(dispatcher)
    may_be_linked(dispatcher)
    return dispatcher  # type: ignore[no-any-return]


def part(name: str, source: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    """The function of that source text, which only becomes part of another."""
    return called(_defined(name, source, names))


def _defined(name: str, source: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    unique = f"{name}_{_digest()}"
    head, _, body = source.partition("(")
    assert head.startswith("def ")
    namespace = {**names, "__name__": __name__}
    exec(compile(f"def {unique}({body}", __file__, "exec", dont_inherit=True), namespace)
    return namespace[unique]  # type: ignore[no-any-return]


def linked(dispatcher: Any, kinds: tuple[Any, ...]) -> Callable[..., None]:
    """What an intrinsic generates to call a `compiled` function that returns nothing, for arguments of such
    types. Its code is not copied into that of whoever calls it."""
    symbol = link(dispatcher.py_func.__name__, kinds)

    def call(context: Any, builder: Any, args: Any) -> None:
        kind = context.call_conv.get_function_type(types.none, kinds)
        function = cgutils.get_or_insert_function(builder.module, kind, symbol)
        context.call_conv.call_function(builder, function, types.none, kinds, args)

    return call


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
