"""JAX on one of several devices: three that XLA makes out of the CPU, in a process of its own."""

from __future__ import annotations

import os

from tests.interpreter import run_python
from tests.subject import ops_or_skip

THREE = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=3"

SCRIPT = """
import pickle
import numpy as np
import pytest
import triops
from tests.ops.cases import CASES, leaves, mapped
from triops.errors import ArrayOwnerError, BackendUnavailable

here, there = triops.get_ops("jax", "cpu:2"), triops.get_ops("jax", "cpu:0")
assert triops.available_backends()["jax"].devices == ("cpu:0", "cpu:1", "cpu:2")
assert (here.device, there.device) == ("cpu:2", "cpu:0")
assert triops.get_ops("jax") is there
assert pickle.loads(pickle.dumps(here)) is here

X = np.ones((2, 3), dtype="float32")
mine, foreign = here.asarray(X), there.asarray(X)
assert triops.ops_of(mine) is here and triops.ops_of(foreign) is there
made = [here.alloc((2, 3)), here.alloc(3, "float64", zeros=False), here.from_bytes(bytes(8), "float32", (2,))]
made += [here.asarray(foreign), here.asarray([1, 2]), here.asarray(foreign, dtype="float64")]
assert all(triops.ops_of(array) is here for array in made)

# Results stay where their ops are, those of ops that take no array too.
computed = 0
for case in CASES.values():
    args = list(case.drawn()["typical"].args)
    for place, arg in enumerate(args):
        args[place] = mapped(here.asarray, arg)
    for result in leaves(getattr(here, case.op)(*args)):
        assert triops.ops_of(result) is here, case.op
        computed += 1
assert computed >= len(CASES)

for ops, array in ((here, foreign), (there, mine)):
    owner = triops.ops_of(array)
    message = f"relu: X is an array of jax on {owner.device}, but these ops are jax on {ops.device}"
    with pytest.raises(ArrayOwnerError, match=message):
        ops.relu(array)
    with pytest.raises(ArrayOwnerError, match="Y is an array of"):
        ops.gemm(ops.asarray(X), array, trans2=True)
    with pytest.raises(ArrayOwnerError, match="to_numpy: array is an array of jax"):
        ops.to_numpy(array)
assert triops.to_numpy(mine).tolist() == triops.to_numpy(foreign).tolist()

with pytest.raises(BackendUnavailable, match="has no device 'cpu:3' here: it has cpu:0, cpu:1, cpu:2; name one"):
    triops.get_ops("jax", "cpu:3")
with pytest.raises(BackendUnavailable, match="jax has only cpu:0, cpu:1, cpu:2"):
    triops.get_ops("gpu")
assert triops.get_ops("auto").name == "numpy"
assert triops.get_ops("auto", "cpu:0").name == "numpy"
print(computed)
"""


def test_ops_of_one_of_several_devices() -> None:
    ops_or_skip("jax")
    computed = run_python(SCRIPT, XLA_FLAGS=THREE, JAX_PLATFORMS="cpu", CUDA_VISIBLE_DEVICES="")
    assert int(computed) > 60
