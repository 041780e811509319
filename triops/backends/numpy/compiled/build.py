"""How a kernel becomes machine code on several threads.

A kernel is a plain loop over the leading entries of its arrays, which the compiler vectorises. Threads are put
around it: a generated driver hands slices of the arrays to the pool's threads.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.types.containers import Tuple
from numba.core.types.misc import unliteral

from triops.backends.numpy.compiled.cache import is_cached
from triops.backends.numpy.compiled.counts import smaller
from triops.backends.numpy.compiled.jit import FAST, compiled, intrinsic, linked, part, source_of
from triops.backends.numpy.compiled.pool import POOL, run_region
from triops.backends.numpy.written import written
from triops.backends.threads import get_num_threads

__all__ = ["CALLS_WITHOUT_THREADS", "Kernel", "on_one_thread"]

# The last entries of an array that fill no vector may round otherwise. Slices of whole vectors have none but the
# array's own, so that results do not depend on the number of threads. Rows and sequences need no such care.
_GRAIN, _MANY = 64, 1024
_OF_SLICE = ("start", "part")
CALLS_WITHOUT_THREADS = 4  # of a kernel that is not on disk; one op may need several
_SLICES_A_THREAD = 4  # several, so that a thread that was held up does not hold up the rest


class Kernel:
    """One loop nest, compiled when it is first called.

    function: a function over float32 arrays and numbers, or its name and source. Numbers are given as Python's,
    which cost a call less than NumPy's, and are float32 in it, unless they are to be `exact`. sliced: how many
    entries of each array belong to one unit of work; arrays that are not named go whole to every slice. A last
    argument `start` is the first unit of the slice; a last argument `part` its number. threshold: units of work
    from which threads pay.
    """

    def __init__(
        self,
        function: Callable[..., Any] | tuple[str, str],
        names: Mapping[str, Any],
        sliced: Mapping[str, int],
        *,
        fastmath: frozenset[str] = FAST,
        threshold: int,
        grain: int | None = None,
        exact: bool = False,
    ) -> None:
        self.threshold, self._exact = threshold, exact
        self._function, self._names, self._sliced, self._fastmath = function, names, sliced, fastmath
        self._grain = grain or (_GRAIN if threshold > _MANY else 1)
        self._undriven = CALLS_WITHOUT_THREADS
        self._listeners: list[Callable[[], None]] = []
        self.begun = False  # whether it has run
        self.run: Callable[..., None] = self._begin
        """run(work, *args, slices=None, size=None): do `work` units, in exactly `slices` slices where each has a
        place of its own in an argument. size: what to compare with the threshold, where units are not of one
        size."""

    def _begin(self, work: int, *args: Any, **settings: int | None) -> None:
        """The first time. From now on `run` is a function of so many arguments, which takes no time to find and
        calls the loop at once where there is little to do."""
        given = ", ".join(self._parameters[: len(args)])
        passed = ", ".join((given, *map(str, self.first)))
        self.run = written(
            f"def run(work, {given}, slices=None, size=None):\n"
            f"    if (work if size is None else size) < {self.threshold} and (slices is None or slices == 1):\n"
            f"        whole({passed})\n"
            f"    else:\n"
            f"        several(work, slices, size, {given})\n",
            {"whole": self.whole, "several": self._several},
        )
        self.run(work, *args, **settings)
        self.begun = True
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def when_begun(self, listener: Callable[[], None]) -> None:
        """Have it called once this has run, or now."""
        if self.begun:
            listener()
        else:
            self._listeners.append(listener)

    def _several(self, work: int, slices: int | None, size: int | None, *args: Any) -> None:
        if (work if size is None else size) >= self.threshold and (threads := get_num_threads()) > 1:
            slices = slices or _SLICES_A_THREAD * threads
            if self._is_ready():
                self.in_slices(POOL.wake(threads - 1), work, slices, *args)
            else:
                self._in_turn(work, slices, args)
        elif slices is None or slices == 1:
            self.whole(*args, *self.first)
        else:
            self.in_slices(0, work, slices, *args)

    def in_slices(self, helpers: int, work: int, slices: int, *args: Any) -> None:
        """Slice after slice, with so many threads to help."""
        self._driver(POOL.address, helpers, work, slices, *args)

    def _is_ready(self) -> bool:
        """Whether to take the driver. Compiling it takes time, so that the first results, of which an op may need
        some for its own first, come without, unless it is on disk."""
        if self._undriven:
            if not is_cached(self._driver):
                self._undriven -= 1
                return False
            self._undriven = 0
        return True

    def _in_turn(self, work: int, slices: int, args: tuple[Any, ...]) -> None:
        """Slice after slice, with no driver."""
        grains = -(-work // self._grain)
        steps = [self._sliced.get(name) for name in self._parameters]
        for number in range(slices):
            lo = number * grains // slices * self._grain
            hi = min((number + 1) * grains // slices * self._grain, work)
            cut = [arg[step * lo : step * hi] if step else arg for arg, step in zip(args, steps, strict=False)]
            self.whole(*cut, *({"start": lo, "part": number}[name] for name in self._parameters[len(args) :]))

    @cached_property
    def _text(self) -> tuple[str, str]:
        return self._function if isinstance(self._function, tuple) else source_of(self._function)

    @cached_property
    def _name(self) -> str:
        # Forms of a kernel that are made from one name would be taken for each other in the cache on disk.
        form = repr((self._text, sorted(self._sliced.items()), self._grain))
        return f"{self._text[0]}_{hashlib.blake2b(form.encode(), digest_size=4).hexdigest()}"

    @cached_property
    def _parameters(self) -> list[str]:
        arguments = self._text[1].split("(", 1)[1].split(")", 1)[0]
        return [argument.split(":")[0].strip() for argument in arguments.split(",") if argument.strip()]

    @cached_property
    def first(self) -> tuple[int, ...]:
        """`start` and `part` where there is one slice. Its driver would only be compiled for nothing."""
        count = sum(name in _OF_SLICE for name in self._parameters)
        assert all(name in _OF_SLICE for name in self._parameters[len(self._parameters) - count :])
        return (0,) * count

    @cached_property
    def whole(self) -> Callable[..., None]:
        source = self._text[1]
        return compiled(
            f"{self._name}_slice",
            _begun_with([f"{each} = taken({each})" for each in self._parameters], source),
            {**self._names, "taken": taken_exactly if self._exact else taken},
            self._fastmath,
        )

    @cached_property
    def _driver(self) -> Callable[..., None]:
        given = ", ".join(name for name in self._parameters if name not in _OF_SLICE)
        passed = {"start": "whole(lo)", "part": "whole(part)"} | {
            name: f"{name}[{step} * lo : {step} * hi]" for name, step in self._sliced.items()
        }
        one = (
            f"def one(everything, part):\n"
            f"    work, slices, {given} = everything\n"
            f"    grains = (work + {self._grain - 1}) // {self._grain}\n"
            f"    lo = part * grains // slices * {self._grain}\n"
            f"    hi = smaller((part + 1) * grains // slices * {self._grain}, work)\n"
            f"    inner(({', '.join(passed.get(name, name) for name in self._parameters)},))\n"
        )
        names = {"inner": _called_with_a_tuple(self.whole), "smaller": smaller, "whole": np.int64}
        all_of = (
            f"def driver(shared, helpers, work, slices, {given}):\n"
            f"    in_region(shared, helpers, slices, one, (work, slices, {given}))\n"
        )
        name = self._name
        names = {"in_region": in_region, "one": part(f"{name}_one", one, names)}
        return compiled(f"{name}_driver", all_of, names, self._fastmath)


def on_one_thread(function: Callable[..., Any], names: Mapping[str, Any]) -> Callable[..., Any]:
    """A function that is too short for slices, and may return a result."""
    return compiled(*source_of(function), names)


def _begun_with(lines: list[str], source: str) -> str:
    """A function with more lines before its first."""
    text = source.splitlines()
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    first = function.body[0].lineno - 1
    return "\n".join([*text[:first], *(f"    {line}" for line in lines), *text[first:]])


def _called_with_a_tuple(dispatcher: Any) -> Any:
    """A function that takes all arguments of another as one."""

    @intrinsic
    def inner(context: Any, arguments: Any) -> Any:
        kinds = tuple(map(unliteral, arguments))
        call = linked(dispatcher, kinds)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            call(context, builder, cgutils.unpack_tuple(builder, args[0]))
            return context.get_dummy_value()

        return types.void(Tuple(kinds)), generate

    return inner


def _taken(*, exact: bool) -> Any:
    """An argument as the loop has it: numbers as float32 unless `exact`, and arrays whose views count no
    references, since the caller holds them. Where threads count, each for every row that it takes, they wait for
    each other's turn at the counter."""

    @intrinsic
    def taken(context: Any, value: Any) -> Any:
        if value == types.float64 and not exact:
            return types.float32(value), lambda context, builder, signature, args: builder.fptrunc(
                args[0], ir.FloatType()
            )

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            if not isinstance(value, types.Array):
                return args[0]
            array = context.make_array(value)(context, builder, args[0])
            array.meminfo = array.meminfo.type(None)
            return array._getvalue()

        return value(value), generate

    return taken


taken, taken_exactly = _taken(exact=False), _taken(exact=True)


@intrinsic
def in_region(context: Any, shared: Any, helpers: Any, slices: Any, function: Any, everything: Any) -> Any:
    """Call `function(everything, part)` for every part of a region of the pool. Threads know functions of two
    numbers alone: this makes one that finds `everything` where the first points to."""

    kinds = everything, types.int64
    function.dispatcher.compile(kinds)
    one = function.dispatcher.overloads[kinds]
    run = linked(run_region, (types.int64,) * 5)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shared, helpers, slices, _, data = args
        number = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [number, number])
        outer = ir.Function(builder.module, kind, builder.module.get_unique_name("part_of_region"))
        outer.linkage = "internal"
        inside = ir.IRBuilder(outer.append_basic_block())
        given = inside.load(inside.inttoptr(outer.args[0], data.type.as_pointer()))
        context.call_internal_no_propagate(inside, one.fndesc, one.signature, [given, outer.args[1]])
        inside.ret_void()
        context.active_code_library.add_linking_library(one.library)
        place = cgutils.alloca_once_value(builder, data)
        numbers = [builder.ptrtoint(pointer, number) for pointer in (outer, place)]
        run(context, builder, [shared, helpers, *numbers, slices])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, function, everything), generate
