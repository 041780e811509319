"""Which ops a name, a device or an array stands for."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import triops
from tests.subject import foreign_array, ops_or_skip, subject
from triops import Ops, available_backends, get_ops, ops_of
from triops.backends import Device
from triops.errors import ArgumentError, ArrayOwnerError, BackendUnavailable, DTypeError

BACKENDS = ("numpy", "cupy", "jax")


def _reason(name: str) -> str:
    return available_backends()[name].reason


def _has_gpu() -> bool:
    return any(
        not device.startswith("cpu") for status in available_backends().values() for device in status.devices
    )


def test_names_of_the_cpu() -> None:
    ops = get_ops("numpy")
    assert (ops.name, ops.device) == ("numpy", "cpu:0")
    assert repr(ops) == "<Ops numpy on cpu:0>"
    assert get_ops("cpu") is ops


def test_name_of_jax() -> None:
    ops = ops_or_skip("jax")
    assert ops.name == "jax"
    assert ops.device in available_backends()["jax"].devices


def test_one_object_for_each_backend_and_device(ops: Ops) -> None:
    assert get_ops(ops.name) is ops
    assert get_ops(ops.name, ops.device) is ops
    assert get_ops(ops.name, ops.device.partition(":")[0]) is ops
    assert get_ops(ops.name, f" {ops.device.upper()} ") is ops
    assert get_ops(ops) is ops


def test_one_object_for_all_threads() -> None:
    found: list[Ops] = []
    threads = [threading.Thread(target=lambda: found.append(get_ops("numpy"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(map(id, found)) == {id(get_ops("numpy"))}


def test_without_a_gpu() -> None:
    if _has_gpu():
        pytest.skip("there is a GPU")
    assert get_ops("auto") is get_ops("numpy")
    assert get_ops() is get_ops("numpy")
    with pytest.raises(BackendUnavailable, match=r"^no GPU can be used: .*cupy.*; .*jax") as caught:
        get_ops("gpu")
    assert _reason("cupy") in str(caught.value)
    assert not triops.prefer_gpu()
    with pytest.raises(BackendUnavailable, match=r"^no GPU can be used: "):
        triops.require_gpu()


def test_with_a_gpu() -> None:
    if not _has_gpu():
        pytest.skip("there is no GPU")
    assert get_ops("auto") is get_ops("gpu")
    assert not get_ops("gpu").device.startswith("cpu")


def test_auto_on_a_named_cpu_is_numpy() -> None:
    assert get_ops("auto", "cpu:0") is get_ops("numpy")
    with pytest.raises(BackendUnavailable, match=r"^device 'cpu:0' is no GPU: name one as in 'cuda:0'"):
        get_ops("gpu", "cpu:0")


@pytest.mark.parametrize("name", ["nunpy", "", "NumPy", "torch", None])
def test_unknown_name(name: Any) -> None:
    with pytest.raises(
        BackendUnavailable, match=r"^unknown backend .*: choose one of 'numpy', 'cupy', 'jax', 'cpu'"
    ):
        get_ops(name)


@pytest.mark.parametrize("device", ["cpu:1", "cpu:99", "cuda:0", "gpu", "tpu:3", "nowhere"])
def test_unknown_device(device: str) -> None:
    with pytest.raises(BackendUnavailable, match=r"^backend 'numpy' has no device '.*' here: it has cpu:0; name"):
        get_ops("numpy", device)


@pytest.mark.parametrize("device", ["", ":", ":0", "cpu:x", "cpu:-1", "cpu:1:2", "cpu:1.5", "cpu:²"])
def test_malformed_device(device: str) -> None:
    message = r"^device '.*' is not a device's name: give a kind and a number, as in 'cpu:0' or 'cuda:1'"
    with pytest.raises(BackendUnavailable, match=message):
        get_ops("numpy", device)
    with pytest.raises(BackendUnavailable, match=message):
        get_ops("auto", device)


def test_device_names() -> None:
    assert Device.parse("gpu:1") == Device.parse("CUDA:1") == Device("cuda", 1)
    assert str(Device.parse("tpu")) == "tpu:0"


def test_negative_gpu() -> None:
    with pytest.raises(ArgumentError, match="gpu_id must be 0 or more, got -1"):
        triops.require_gpu(-1)


def test_require_cpu() -> None:
    assert triops.require_cpu()
    assert triops.get_current_ops() is get_ops("numpy")


def test_ops_of_an_array(ops: Ops) -> None:
    array = ops.asarray([1.0, 2.0])
    assert ops_of(array) is ops
    assert ops_of(array[0]) is ops
    assert triops.to_numpy(array).tolist() == [1.0, 2.0]
    assert isinstance(triops.to_numpy(array), np.ndarray)


@pytest.mark.parametrize("data", [1.5, [1.0], None, "array", np.float32, {}])
def test_ops_of_no_array(data: Any) -> None:
    with pytest.raises(DTypeError, match=r"^ops_of: array must be an array of numpy, cupy, jax, got "):
        ops_of(data)
    with pytest.raises(DTypeError):
        triops.to_numpy(data)


@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_to_numpy_takes_its_own_arrays(name: str) -> None:
    here = subject(name)
    with pytest.raises(ArrayOwnerError, match=f"^to_numpy: array is an array of .* but these ops are {name} on"):
        here.ops.to_numpy(foreign_array(here))


def test_available_backends() -> None:
    backends = available_backends()
    assert tuple(backends) == BACKENDS
    for name, status in backends.items():
        assert status.name == name
        if status.available:
            assert status.devices
            assert name in status.versions
            assert not status.reason
            assert get_ops(name).device == status.devices[0]
        else:
            assert not status.devices
            assert status.install.startswith("pip install")
            with pytest.raises(BackendUnavailable) as caught:
                get_ops(name)
            assert str(caught.value) == status.reason
    assert backends["numpy"].available
    assert backends["numpy"].versions["numpy"] == np.__version__


def test_ops_are_never_copied(ops: Ops) -> None:
    assert copy.copy(ops) is ops
    assert copy.deepcopy({"ops": [ops]})["ops"][0] is ops
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(ops, protocol)) is ops
