"""Functions of arrays as XLA programs, a forward and a backward one among them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from sys import getrefcount
from typing import Any

import jax
import jax.numpy as jnp
import numpy

from triops.backends.backend import Device
from triops.backends.compiler import AcrossDevices, Compiler, Function, Program, TwoWay
from triops.backends.jax.disk import kept_on_disk

__all__ = ["JaxCompiler", "has_float64", "precision", "standing_for"]

_HELD = 4  # references to a donated array: the model's or optimizer's, two lists', and getrefcount's own
_REASONS = {
    jax.errors.TracerBoolConversionError: "it decides by the value of an array, which is not known yet",
    jax.errors.TracerArrayConversionError: "it hands an array to NumPy, or to another library",
    jax.errors.TracerIntegerConversionError: "it takes the value of an array as an index or a length",
    jax.errors.ConcretizationTypeError: "it looks at the value of an array, which is not known yet",
    jax.errors.NonConcreteBooleanIndexError: "it selects by a mask, and so the result has no known shape",
}


class _Traced(Program):
    """A compiled program of arrays on one device."""

    def __init__(self, function: Callable[..., Any], arrays: Sequence[Any], donated: range) -> None:
        self._wide = has_float64(arrays)
        self._more = _always_ready(arrays)
        with precision(self._wide):
            jitted = jax.jit(partial(_with_more, function, len(arrays)), donate_argnums=tuple(donated))
            traced = jitted.trace(*map(standing_for, [*arrays, *self._more]))
            self.constants = traced.jaxpr.consts
            lowered = traced.lower()
            with kept_on_disk():
                self._compiled = lowered.compile()
        self._donated = donated

    def __call__(self, arrays: list[Any]) -> Sequence[Any]:
        donated = arrays[self._donated.start : self._donated.stop]
        if max(map(getrefcount, donated), default=0) > _HELD:
            for i in self._donated:
                if getrefcount(arrays[i]) > _HELD:
                    arrays[i] = jnp.copy(arrays[i])
        del donated
        if self._wide:
            with precision(True):
                results: list[Any] = self._compiled(*arrays, *self._more)
        else:
            results = self._compiled(*arrays, *self._more)
        del results[len(results) - len(self._more) :]
        return results


class JaxCompiler(Compiler):
    """XLA."""

    def program(self, function: Function, arrays: Sequence[Any], donated: range = range(0)) -> Program:
        return _Traced(lambda *given: tuple(function(list(given))), arrays, donated)

    def two_programs(self, function: TwoWay, arrays: Sequence[Any]) -> tuple[Program, Program, int]:
        way_back = _WayBack()
        forward = _Traced(lambda *given: way_back.prepare(function, list(given)), arrays, range(0))
        backward = _Traced(
            way_back.run, [*arrays, *way_back.outputs, *way_back.inside, *way_back.gradients], range(0)
        )
        return forward, backward, len(way_back.inside)

    def across(self, devices: Sequence[Device]) -> AcrossDevices:
        from triops.backends.jax.sharding import JaxAcrossDevices

        return JaxAcrossDevices(devices)

    def why_not(self, error: BaseException) -> str | None:
        for kind, reason in _REASONS.items():
            if isinstance(error, kind):
                return reason
        return None


class _WayBack:
    """What a backward pass is made of. It is traced within the forward one, and what it takes from there is found
    by identity: arrays that went in, outputs, arrays that were known all along, and the rest, which the forward
    program hands out."""

    def prepare(self, function: TwoWay, given: list[Any]) -> tuple[Any, ...]:
        outputs, known, backward = function(given)
        self.gradients = [_like(y) for y in outputs if jnp.issubdtype(y.dtype, jnp.floating)]
        # Its constants are what the backward pass needs, of any dtype.
        self._jaxpr = jax.make_jaxpr(lambda *dY: tuple(backward(list(dY))))(*self.gradients)
        places = {id(array): i for i, array in enumerate([*given, *outputs])}
        inside: list[Any] = []
        self._constants: dict[int, Any] = {}
        self._places: list[int] = []
        for i, array in enumerate(self._jaxpr.consts):
            if not isinstance(array, jax.core.Tracer):
                self._constants[i] = array
            elif id(array) not in places:
                places[id(array)] = len(given) + len(outputs) + len(inside)
                inside.append(array)
            self._places.append(places.get(id(array), -1))
        self.outputs, self.inside = [_like(y) for y in outputs], [_like(array) for array in inside]
        return (*outputs, *known, *inside)

    def run(self, *given: Any) -> Any:
        consts = [
            self._constants[i] if i in self._constants else given[place] for i, place in enumerate(self._places)
        ]
        gradients = given[len(given) - len(self.gradients) :]
        return jax.core.eval_jaxpr(self._jaxpr.jaxpr, consts, *gradients)


def _always_ready(arrays: Sequence[Any]) -> list[Any]:
    """One number more for a program on a CPU. What may wait, as a product, XLA gives to its pool of threads, but
    where nothing else is ready it runs on the thread that started the program, and from there on so does what
    follows: one thread more than there are cores then compete for these."""
    devices = [device for array in arrays if isinstance(array, jax.Array) for device in array.devices()][:1]
    if not devices or devices[0].platform != "cpu":
        return []
    return [jax.device_put(numpy.zeros((), "int32"), devices[0])]


def _with_more(function: Callable[..., Any], count: int, *given: Any) -> list[Any]:
    return [*function(*given[:count]), *(number + 1 for number in given[count:])]


def _like(array: Any) -> Any:
    sharding = None if isinstance(array, jax.core.Tracer) else getattr(array, "sharding", None)
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)


def standing_for(array: Any) -> Any:
    """What a function is traced with instead of an array."""
    if array.dtype.itemsize < 8:
        return _like(array)
    # JAX takes 64 bits from an array alone, and would make 32 of them otherwise.
    if isinstance(array, jax.Array):
        return array
    with jax.enable_x64(True):
        return jnp.zeros(array.shape, array.dtype)


def has_float64(arrays: Sequence[Any]) -> bool:
    """Whether a program computes in 64 bits."""
    return any(array.dtype == "float64" for array in arrays)


@contextlib.contextmanager
def precision(wide: bool) -> Iterator[None]:
    """Where there are float64 arrays, a Python number is to be float64 as well."""
    with jax.enable_x64(True) if wide else contextlib.nullcontext():
        yield
