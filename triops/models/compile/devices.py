"""Train steps on several devices: which, and how a batch of sequences is divided among them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from triops.backends.backend import Device
from triops.backends.compiler import AcrossDevices
from triops.errors import ArgumentError, UnknownLengths
from triops.models.adapters.conversions import kind_of
from triops.models.compile.batches import FilledBatch, shared_out
from triops.models.compile.buckets import Part, Sizes
from triops.models.compile.forms import take_apart
from triops.ops import Ops, bounds

__all__ = ["DividedBatch", "across_devices"]


class DividedBatch(FilledBatch):
    """Sequences in as many parts as there are devices, of about as many rows each, and each filled up to the same
    numbers of rows and sequences. While it is traced it is the part of a device."""

    def __init__(
        self,
        across: AcrossDevices,
        sizes: Sizes,
        longest: bool,
        ops: Ops,
        X: Any,
        truths: Any,
        rows: Any,
        lengths: list[int],
    ) -> None:
        self._across, self._ops, self._X, self._kind, self._lengths = across, ops, X, kind_of(ops, X), lengths
        np = ops.backend.host.namespace
        self.rows, self.sequences = len(rows), len(lengths)
        starts = np.cumsum([0, *lengths])
        wanted = np.arange(across.count + 1) * self.rows / across.count
        cuts = abs(starts[:, None] - wanted).argmin(axis=0)
        self._cuts = {self.rows: starts[cuts].tolist(), self.sequences: cuts.tolist()}
        own = [Part(*counts) for counts in zip(*(map(_between, self._cuts.values())), strict=True)]
        self.all_rows, self.all_sequences, self._longest = sizes.of(own, max(lengths) if longest else 0)
        self._parts = {self.rows: self.all_rows, self.sequences: self.all_sequences}
        filled: list[int] = []
        real: list[int] = []
        for part, row, sequence in zip(own, *self._cuts.values(), strict=False):
            filled += lengths[sequence : sequence + part.sequences]
            filled += shared_out(self.all_rows - part.rows, self.all_sequences - part.sequences)
            real += [*part, row, sequence, self.rows, self.sequences]
        self._longest = max(self._longest, *filled)
        truth_arrays, self._truths = take_apart(ops, truths)
        of_truths = [ops.to_numpy(array) for array in truth_arrays]
        on_host = [np.array(filled, "int32"), np.array(real, "int32"), *map(self._up, of_truths)]
        self.arrays = [self._up(rows), *on_host]
        self.axes = [0, 0, 0, *(0 if self._is_divided(array) else None for array in of_truths)]

    def summed(self, loss: Any, gradients: list[Any], changes: list[Any]) -> tuple[Any, list[Any]]:
        if changes:
            raise UnknownLengths("a layer keeps arrays of the whole batch")
        loss, *gradients = self._across.total([loss, *gradients])
        return loss, gradients

    def once(self, arrays: list[Any]) -> list[Any]:
        return self._across.once(arrays)

    def _bounds(self, lengths: Any, real: Any) -> bounds.Bounds:
        part = bounds.Part(*(real[i] for i in range(2, 6)))
        return bounds.Bounds(lengths, self.all_rows, self._longest, real[0], real[1], part)

    def _is_divided(self, host: Any) -> bool:
        return host.ndim > 0 and len(host) in self._cuts

    def _up(self, host: Any) -> Any:
        """An array of the host in parts, one after another, each filled up."""
        if not self._is_divided(host):
            return host
        size, cuts = self._parts[len(host)], self._cuts[len(host)]
        filled = self._ops.backend.host.namespace.zeros((len(cuts[1:]), size, *host.shape[1:]), host.dtype)
        for i, part in enumerate(filled):
            part[: cuts[i + 1] - cuts[i]] = host[cuts[i] : cuts[i + 1]]
        return filled.reshape(-1, *host.shape[1:])


def _between(places: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(places)]


def across_devices(ops: Ops, devices: int | str | Sequence[Any] | None) -> AcrossDevices | None:
    """What compiles for these devices; None where it is the ops' own alone.

    Raises ArgumentError where there are no such devices, or not the ops' own among them.
    """
    own, compiler = ops.backend.device, ops.backend.compiler
    if devices is None:
        return None
    many = devices > 1 if isinstance(devices, int) else isinstance(devices, list | tuple) and len(devices) > 1
    if many and compiler is None:
        raise ArgumentError(
            f"compile_step: devices is {devices!r}, but models on {ops!r} compute on one: leave devices out, or "
            f"move the model to JAX, as in model.to('jax')"
        )
    have = [own, *(each for each in ops.backend.devices() if each.kind == own.kind and each != own)]
    wanted = _wanted(devices, own, have if compiler is not None else [own])
    return None if compiler is None or len(wanted) == 1 else compiler.across(wanted)


def _wanted(devices: int | str | Sequence[Any], own: Device, have: list[Device]) -> list[Device]:
    names = ", ".join(map(str, have))
    if devices == "all":
        return have
    if isinstance(devices, int) and not isinstance(devices, bool) and devices >= 1:
        if devices > len(have):
            more = f"--xla_force_host_platform_device_count={devices}"
            hint = f" (JAX has more on a CPU with XLA_FLAGS={more})" if own.kind == "cpu" else ""
            raise ArgumentError(
                f"compile_step: devices is {devices}, but there are {len(have)} of the model's kind: {names}; "
                f"ask for fewer{hint}"
            )
        return have[:devices]
    if not isinstance(devices, list | tuple) or not all(isinstance(each, str | Device) for each in devices):
        raise ArgumentError(
            f"compile_step: devices must be how many, 'all', or a list of names, as ['{own}'], got {devices!r}"
        )
    found = [Device.parse(each) if isinstance(each, str) else each for each in devices]
    strange = [each for each in found if each not in have]
    if strange or own not in found or len(set(found)) < len(found):
        raise ArgumentError(
            f"compile_step: devices must be some of {names}, each once, and {own}, where the model is, among "
            f"them, got {', '.join(map(str, found)) or 'none'}: move the model with model.to(...), or name others"
        )
    return [own, *(each for each in found if each != own)]
