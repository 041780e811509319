"""Tests that need a device. Where there is none, the whole folder skips, with each backend's own reason."""

from __future__ import annotations

import pytest

from tests.subject import Subject
from triops import available_backends, get_ops

CUDA = ("cupy", "jax")


def cuda_devices() -> dict[str, str]:
    """The first CUDA device of each backend that has one."""
    found = {}
    for name in CUDA:
        devices = [device for device in available_backends()[name].devices if device.startswith("cuda")]
        if devices:
            found[name] = devices[0]
    return found


def why_no_cuda(name: str) -> str:
    """The backend's reason, or what it has instead."""
    status = available_backends()[name]
    return status.reason or f"{name} has only {', '.join(status.devices)}"


@pytest.fixture(params=CUDA)
def backend(request: pytest.FixtureRequest) -> Subject:
    """Each backend on a CUDA device in turn, in place of those on the CPU."""
    device = cuda_devices().get(request.param)
    if device is None:
        pytest.skip(why_no_cuda(request.param))
    return Subject(f"{request.param}-cuda", get_ops(request.param, device))
