"""Train steps on several devices are those of one: four that XLA makes of the CPU, in their own process."""

from __future__ import annotations

import os

import pytest

import triops
from tests.interpreter import run_python
from tests.models.samples import classifier, ops_or_skip
from triops import use_ops
from triops.errors import ArgumentError
from triops.models import Adam, CategoricalCrossentropy

FOUR = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"

CHECKS = """
import numpy as np
import triops
from triops import Padded, Ragged, models, to_numpy
from triops.models import Adam, CategoricalCrossentropy, Relu, Softmax, chain, with_array
from triops.models.trees import map_arrays

triops.set_current_ops("jax")
ops = triops.get_current_ops()
draws = np.random.default_rng(1)

def floats(*shape):
    return ops.asarray(draws.standard_normal(shape).astype("float32"))

def close(one, other):
    np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=1e-5, atol=2e-6)

def check(model, batches, loss=None, optimizer=lambda: models.SGD(0.1), drop=0.2, devices=4, fill=True):
    '''Steps on one device and on four, with gradients from before in the last; the step on four.'''
    loss = loss or CategoricalCrossentropy()
    model.initialize(seed=1)
    one = triops.compile_step(model.copy(), loss, optimizer(), fill=False)
    four = triops.compile_step(model.copy(), loss, optimizer(), fill=fill, devices=devices)
    before = {name: array for node in four.model.walk() for name, array in node._params.items()}
    for i, (X, truths) in enumerate(batches):
        if i and i == len(batches) - 1:
            close(one.accumulate(X, truths, drop), four.accumulate(X, truths, drop))
        close(one(X, truths, drop), four(X, truths, drop))
    for node, twin in zip(one.model.walk(), four.model.walk()):
        for name in node.param_names:
            close(node.get_param(name), twin.get_param(name))
            assert twin.get_param(name).devices() == {floats(1).device}
    assert all(to_numpy(array).size for array in before.values())  # what is held elsewhere is not consumed
    return four

def labels(count, classes=3):
    return draws.integers(0, classes, count).tolist()

def classifier():
    return chain(Relu(7, 5, normalize=True, dropout=0.3), Softmax(3, 7))

# arrays: rows that divide, that do not, and fewer than devices
check(classifier(), [(floats(n, 5), labels(n)) for n in (8, 3, 6)], optimizer=lambda: Adam(0.01, eps=1e-3))
check(classifier(), [(floats(5, 5), floats(5, 3))] * 2, lambda Y, T: ((Y - T) / len(Y), ((Y - T) ** 2).mean()),
      lambda: lambda key, W, dW: (W - 0.1 * dW, dW), devices=["cpu:3", "cpu:0"])

class Centred(models.Model):
    '''Mixes all rows, and keeps what it saw.'''
    def begin_update(self, X, drop=0.0):
        rows = X.data if isinstance(X, Ragged) else X
        self.set_state("mean", 0.9 * self.get_state("mean") + rows.mean(axis=0))
        centre = lambda Y: Y - 0.5 * Y.mean(axis=0)
        return map_arrays(centre, X), lambda dY, sgd=None: map_arrays(centre, dY)

centred = Centred()
centred.set_state("mean", ops.alloc((4,)))
step = check(chain(models.Linear(4, 5), centred, Softmax(3, 4)), [(floats(6, 5), labels(6))] * 2)
assert step.model.layers[1].get_state("mean").devices() == {floats(1).device}

# sequences, in parts of a device each
seen = []

class Looking(models.Model):
    def begin_update(self, X, drop=0.0):
        seen.append(X.data.shape)
        return X, lambda dY, sgd=None: dY

def tagger():
    window = models.residual(chain(models.expand_window(1), with_array(models.Maxout(4, 12, dropout=0.3))))
    return chain(window, with_array(Softmax(3, 4)))

def ragged(lengths):
    return Ragged(floats(sum(lengths), 4), ops.asarray(np.array(lengths, "int32")))

lengths = [3, 1, 4, 1, 5, 9, 2], [17, 8], [3, 1, 4, 1, 5, 9, 2]
step = check(chain(Looking(), tagger()), [(ragged(each), labels(sum(each))) for each in lengths])
assert {(25, 4), (12, 4), (18, 4)} == set(seen), seen
X = [floats(n, 4) for n in lengths[0]]
check(chain(models.list2ragged(), tagger()), [(X, labels(25))])
lstm = chain(models.LSTM(4, 4, bi=True), with_array(Softmax(3, 4)))
check(lstm, [(ops.list2padded(X), labels(25))], drop=0.0, devices="all")
check(chain(models.reduce_mean(), Softmax(3, 4)), [(ragged(lengths[0]), labels(7))])
# and as the compiler sees fit
check(tagger(), [(ragged(lengths[0]), labels(25))], fill=False)
check(chain(models.list2ragged(), with_array(models.Linear(4, 4)), centred, with_array(Softmax(3, 4))),
      [(X, labels(25))])
"""


def test_four_devices_do_what_one_does() -> None:
    ops_or_skip("jax")
    run_python(CHECKS, XLA_FLAGS=FOUR)


def test_devices_that_are_not_there() -> None:
    with use_ops(ops_or_skip("jax")) as ops:
        model, loss = classifier().initialize(), CategoricalCrossentropy()
    count = len([each for each in ops.backend.devices() if each.kind == ops.backend.device.kind])
    for devices, message in (
        (count + 1, f"devices is {count + 1}, but there are {count} of the model's kind: {ops.device}"),
        (0, "devices must be how many, 'all', or a list of names"),
        (True, "devices must be how many"),
        ("cpu:0", "devices must be how many"),
        (["tpu:7", ops.device], "devices must be some of .*, got tpu:7, "),
        ([], "got none"),
        ([ops.device, ops.device], "each once"),
    ):
        with pytest.raises(ArgumentError, match=message):
            triops.compile_step(model, loss, Adam(), devices=devices)  # type: ignore[arg-type]


def test_numpy_has_one_device() -> None:
    with use_ops(ops_or_skip("numpy")):
        model = classifier().initialize()
    for one in (None, 1, "all", ["cpu:0"]):
        triops.compile_step(model, CategoricalCrossentropy(), Adam(), devices=one)
    for more in (2, ["cpu:0", "cpu:1"]):
        with pytest.raises(ArgumentError, match=r"devices is .*, but models on <Ops numpy on cpu:0>"):
            triops.compile_step(model, CategoricalCrossentropy(), Adam(), devices=more)  # type: ignore[arg-type]
