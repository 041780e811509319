"""Programs on several devices at once: what a model keeps lies whole on each, a batch is divided among them."""

from __future__ import annotations

from collections.abc import Sequence
from sys import getrefcount
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from triops.backends.backend import Device
from triops.backends.compiler import AcrossDevices, Function, Program
from triops.backends.jax.backend import jax_devices
from triops.backends.jax.compiler import has_float64, precision, standing_for
from triops.backends.jax.disk import kept_on_disk

__all__ = ["JaxAcrossDevices"]

_AXIS = "batch"
_HELD = 4  # references to a donated array: the model's or optimizer's, the list's, the table's, getrefcount's own
_FORGOTTEN = 2  # references to an array that the table alone has, and getrefcount's own


class JaxAcrossDevices(AcrossDevices):
    """XLA, on a row of devices."""

    def __init__(self, devices: Sequence[Device]) -> None:
        known = jax_devices()
        self.count = len(devices)
        self.mesh = jax.make_mesh(
            (self.count,), (_AXIS,), (AxisType.Auto,), devices=[known[device] for device in devices]
        )
        self.replicas = _Replicas(self.divided(None))

    def divided(self, axis: int | None) -> NamedSharding:
        """Along a dimension, or whole on each device."""
        return NamedSharding(self.mesh, _spec(axis))

    def whole(
        self, function: Function, arrays: Sequence[Any], donated: range, axes: Sequence[int | None]
    ) -> Program:
        first = len(arrays) - len(axes)
        # XLA takes no uneven parts from outside, but makes them by itself.
        uneven = {
            first + i: self.divided(axis)
            for i, axis in enumerate(axes)
            if axis is not None and arrays[first + i].shape[axis] % self.count
        }

        def run(*given: Any) -> tuple[Any, ...]:
            each = list(given)
            for i, sharding in uneven.items():
                each[i] = jax.lax.with_sharding_constraint(each[i], sharding)
            return tuple(function(each))

        outside = [None if first + i in uneven else axis for i, axis in enumerate(axes)]
        return _OnAll(self, run, arrays, donated, outside)

    def apart(
        self, function: Function, arrays: Sequence[Any], donated: range, axes: Sequence[int | None]
    ) -> Program:
        specs = tuple(map(_spec, [*[None] * (len(arrays) - len(axes)), *axes]))
        run = jax.shard_map(
            lambda *given: tuple(function(list(given))),
            mesh=self.mesh,
            in_specs=specs,
            out_specs=PartitionSpec(),
            check_vma=False,
        )
        return _OnAll(self, run, arrays, donated, axes)

    def total(self, arrays: list[Any]) -> list[Any]:
        summed: list[Any] = jax.lax.psum(arrays, _AXIS)
        return summed

    def once(self, arrays: list[Any]) -> list[Any]:
        is_first = jax.lax.axis_index(_AXIS) == 0
        return [jnp.where(is_first, array, jnp.zeros_like(array)) for array in arrays]


class _OnAll(Program):
    """A program whose results lie whole on each device; it takes and gives those of the first device."""

    def __init__(
        self,
        across: JaxAcrossDevices,
        run: Any,
        arrays: Sequence[Any],
        donated: range,
        axes: Sequence[int | None],
    ) -> None:
        self._replicas, self._donated, self._kept = across.replicas, donated, len(arrays) - len(axes)
        self._parts = list(map(across.divided, axes))
        self._wide = has_float64(arrays)
        placed = [*map(self._replicas.whole, arrays[: self._kept]), *self._divide(arrays)]
        with precision(self._wide):
            compiled = jax.jit(run, donate_argnums=tuple(donated), out_shardings=across.divided(None))
            traced = compiled.trace(*map(standing_for, placed))
            self.constants = traced.jaxpr.consts
            lowered = traced.lower()
            with kept_on_disk():
                self._compiled = lowered.compile()

    def __call__(self, arrays: list[Any]) -> Sequence[Any]:
        placed = [self._replicas.whole(array) for array in arrays[: self._kept]]
        for i in self._donated:
            if getrefcount(arrays[i]) > _HELD:
                placed[i] = jnp.copy(placed[i])
        placed += self._divide(arrays)
        with precision(self._wide):
            results = self._compiled(*placed)
        return self._replicas.first_ones(results)

    def _divide(self, arrays: Sequence[Any]) -> list[Any]:
        with jax.enable_x64(True):
            divided: list[Any] = jax.device_put(list(arrays[self._kept :]), self._parts)
        return divided


class _Replicas:
    """Arrays that lie whole on each device, by the one on the first, which shares its memory and is what models
    and optimizers hold."""

    def __init__(self, everywhere: NamedSharding) -> None:
        self._everywhere = everywhere
        self._known: dict[int, tuple[Any, Any]] = {}

    def whole(self, array: Any) -> Any:
        """The array on all devices."""
        found = self._known.get(id(array))
        if found is None:
            with jax.enable_x64(True):
                placed = jax.device_put(array, self._everywhere)
            if not isinstance(array, jax.Array):  # of the host, and another in each call
                return placed
            found = self._known[id(array)] = array, placed
        return found[1]

    def first_ones(self, arrays: Sequence[Any]) -> list[Any]:
        """The arrays on the first device."""
        views = [array.addressable_data(0) for array in arrays]
        self._known = {number: pair for number, pair in self._known.items() if getrefcount(pair[0]) > _FORGOTTEN}
        self._known.update((id(view), (view, array)) for view, array in zip(views, arrays, strict=True))
        return views


def _spec(axis: int | None) -> PartitionSpec:
    return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, _AXIS)
