"""Which backends and devices a run is on."""

from __future__ import annotations

from collections.abc import Sequence

from triops.errors import BackendUnavailable
from triops.ops import Ops, available_backends, get_ops

__all__ = ["choose_ops"]


def choose_ops(names: Sequence[str] = (), devices: Sequence[str] = ()) -> tuple[list[Ops], dict[str, str]]:
    """The ops to run on, each once, and the reason for each backend that cannot be used here.

    names: backends, as `get_ops` takes them; where none is named, all that this machine has. devices: those to
    use: every named backend must have each; where no backend is named, one of them must. Where no device is
    named, all but a backend's second and further CPU devices, which are the same cores again.

    Raises BackendUnavailable where a backend or device that was asked for is not there.
    """
    chosen: list[Ops] = []
    left_out: dict[str, str] = {}
    if names:
        for name in names:
            chosen += [get_ops(name, device) for device in devices] or _every_device(name)
        return list(dict.fromkeys(chosen)), left_out
    for name, status in available_backends().items():
        if not status.available:
            left_out[name] = status.reason
        elif not devices:
            chosen += _every_device(name)
    for device in devices:
        chosen += _every_backend(device, left_out)
    return list(dict.fromkeys(chosen)), left_out


def _every_device(name: str) -> list[Ops]:
    ops = get_ops(name)
    if name != ops.name:  # "cpu", "gpu" and "auto" mean one device
        return [ops]
    usable = [device for device in ops.backend.devices() if device.kind != "cpu" or device.index == 0]
    return [get_ops(name, str(device)) for device in usable]


def _every_backend(device: str, left_out: dict[str, str]) -> list[Ops]:
    found, reasons = [], list(left_out.values())
    for name in available_backends():
        if name not in left_out:
            try:
                found.append(get_ops(name, device))
            except BackendUnavailable as error:
                reasons.append(error.message)
    if not found:
        raise BackendUnavailable(f"no backend can use the device {device!r}: {'; '.join(reasons)}")
    return found
