"""Which backends and devices a run is on."""

import os
import subprocess
import sys

import pytest

from tests.subject import ops_or_skip
from triops import available_backends, get_ops
from triops.bench.choose import choose_ops
from triops.errors import BackendUnavailable


def test_without_names_every_backend_that_is_here() -> None:
    chosen, left_out = choose_ops()
    status = available_backends()
    assert {ops.name for ops in chosen} == {name for name in status if status[name].available}
    assert left_out == {name: s.reason for name, s in status.items() if not s.available}
    assert chosen[0] is get_ops("numpy")


def test_named_backends_each_once() -> None:
    assert choose_ops(["numpy", "cpu", "numpy"]) == ([get_ops("numpy")], {})


def test_a_device_is_used_by_every_backend_that_has_it() -> None:
    chosen, _ = choose_ops([], ["cpu:0"])
    assert get_ops("numpy") in chosen
    assert {ops.device for ops in chosen} == {"cpu:0"}


@pytest.mark.parametrize(
    ("names", "devices", "message"),
    [
        (["torch"], [], "unknown backend 'torch'"),
        (["numpy"], ["cpu:7"], "no device 'cpu:7'"),
        ([], ["cuda:99"], "no backend can use the device 'cuda:99'.*'numpy' has no device"),
        ([], ["cpu:first"], "'cpu:first' is not a device's name"),
    ],
)
def test_what_is_not_here_is_refused(names: list[str], devices: list[str], message: str) -> None:
    with pytest.raises(BackendUnavailable, match=message):
        choose_ops(names, devices)


def test_of_several_cpu_devices_only_the_first_unless_asked() -> None:
    ops_or_skip("jax")
    script = (
        "from triops.bench.choose import choose_ops\n"
        "print([ops.device for ops in choose_ops(['jax'])[0] if ops.device.startswith('cpu')])\n"
        "print([ops.device for ops in choose_ops(['jax'], ['cpu:1', 'cpu:0'])[0]])\n"
    )
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | flags, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["['cpu:0']", "['cpu:1', 'cpu:0']"]
