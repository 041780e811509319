"""Models on CUDA devices: the tests of layers and training that hold on any device, and what only holds there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.gpu.conftest import CUDA, cuda_devices, why_no_cuda
from tests.models.samples import NI, NO, N, classifier, floats, ids, ops_or_skip, params_of, shaken
from tests.models.test_begin_update import (
    test_gradients_of_several_batches_add_up,
    test_sgd_in_the_callback_is_finish_update_afterwards,
    test_use_params_is_for_a_block,
)
from tests.models.test_dropout import test_masks_are_the_same_bits_on_every_backend
from tests.models.test_initialization import test_first_weights_are_the_same_bits_on_every_backend
from tests.models.test_layers import (
    test_an_empty_batch_passes_both_ways,
    test_the_gradients_agree_with_finite_differences,
    test_the_output_is_what_the_layer_means,
)
from tests.models.test_losses import (
    test_cosine_distance,
    test_every_form_of_label_gives_one_result,
    test_l2_distance,
    test_missing_labels_have_neither_loss_nor_gradient,
)
from tests.models.test_optimizers import test_steps_are_pytorchs
from tests.models.test_saving import test_a_saved_model_loads_on_another_backend, test_bytes_are_stable
from tests.models.test_training import (
    test_a_model_learns,
    test_embeddings_learn,
    test_the_same_training_gives_the_same_weights_on_every_backend,
)
from tests.subject import Subject
from triops import Ops, ops_of, to_numpy, use_ops
from triops.errors import ArrayOwnerError
from triops.models import Adam, CategoricalCrossentropy, Embed, Linear, chain

if not cuda_devices():
    pytest.skip("; ".join(map(why_no_cuda, CUDA)), allow_module_level=True)

__all__ = [
    "test_a_model_learns",
    "test_a_saved_model_loads_on_another_backend",
    "test_an_empty_batch_passes_both_ways",
    "test_bytes_are_stable",
    "test_cosine_distance",
    "test_embeddings_learn",
    "test_every_form_of_label_gives_one_result",
    "test_first_weights_are_the_same_bits_on_every_backend",
    "test_gradients_of_several_batches_add_up",
    "test_l2_distance",
    "test_masks_are_the_same_bits_on_every_backend",
    "test_missing_labels_have_neither_loss_nor_gradient",
    "test_sgd_in_the_callback_is_finish_update_afterwards",
    "test_steps_are_pytorchs",
    "test_the_gradients_agree_with_finite_differences",
    "test_the_output_is_what_the_layer_means",
    "test_the_same_training_gives_the_same_weights_on_every_backend",
    "test_use_params_is_for_a_block",
]


@pytest.fixture
def ops(backend: Subject) -> Iterator[Ops]:
    """The ops of each backend on its first CUDA device, which new models are bound to."""
    with use_ops(backend.ops):
        yield backend.ops


def test_everything_stays_on_the_device(ops: Ops) -> None:
    model, optimizer, loss = classifier(drop=0.2).initialize(), Adam(0.01), CategoricalCrossentropy()
    Yh, backprop = model.begin_update(floats(ops, N, NI), drop=0.2)
    gradient, value = loss(Yh, [0, 1, 2, None, 1, 0])
    dX = backprop(gradient, sgd=optimizer)
    assert optimizer.averages is not None
    moments = [*optimizer.mom1.values(), *optimizer.mom2.values(), *optimizer.averages.values()]
    params = [node.get_param(name) for node in model.walk() for name in node.param_names]
    assert all(ops_of(array) is ops for array in (Yh, gradient, dX, *moments, *params))
    assert np.isfinite(float(value))


def test_a_batch_of_the_host_is_refused(ops: Ops) -> None:
    model, host = classifier().initialize(), ops_or_skip("numpy")
    with pytest.raises(ArrayOwnerError, match="X is an array of numpy on cpu:0, but these ops are"):
        model.predict(floats(host, N, NI))
    with pytest.raises(ArrayOwnerError, match="truths is an array of numpy"):
        CategoricalCrossentropy()(model.predict(floats(ops, N, NI)), host.asarray([0, 1, 2, 0, 1, 2]))


def test_a_model_moves_to_the_host_and_back(ops: Ops, tmp_path: Path) -> None:
    model = shaken(classifier().initialize())
    X = floats(ops, N, NI)
    here = to_numpy(model.predict(X))
    weights = params_of(model)
    model.to_disk(tmp_path / "model.bin")
    host = ops_or_skip("numpy")
    moved = model.copy().to(host)
    np.testing.assert_allclose(moved.predict(host.asarray(X)), here, rtol=1e-5, atol=1e-6)
    with use_ops(host):
        loaded = classifier().from_disk(tmp_path / "model.bin")
    np.testing.assert_array_equal(loaded.predict(host.asarray(X)), moved.predict(host.asarray(X)))
    for there, back in zip(weights, params_of(moved.to(ops)), strict=True):
        np.testing.assert_array_equal(there, back)
    np.testing.assert_array_equal(to_numpy(moved.predict(X)), here)


def test_a_label_out_of_range_shows_in_the_loss(ops: Ops) -> None:
    """Looking at each label would wait for the device; a list is looked at on the host."""
    Yh = classifier().initialize().predict(floats(ops, N, NI))
    for wrong in (3, -1):
        labels = [0, 1, wrong, 0, 1, 2]
        assert np.isnan(float(CategoricalCrossentropy().get_loss(Yh, ops.asarray(labels))))
        with pytest.raises(ValueError, match=f"got {wrong} in row 2"):
            CategoricalCrossentropy().get_loss(Yh, labels)


def test_float32_products_are_float32(ops: Ops) -> None:
    """tf32 would show in the fourth digit."""
    model = shaken(Linear(64, 256).initialize())
    X = floats(ops, 128, 256)
    exact = to_numpy(X).astype("float64") @ params_of(model)[0].astype("float64").T + params_of(model)[1]
    np.testing.assert_allclose(to_numpy(model.predict(X)), exact, rtol=1e-4, atol=2e-5)


def test_rows_that_come_often_add_up(ops: Ops) -> None:
    """Many threads of the device add to one row at once."""
    model = chain(Embed(NO, 3)).initialize()
    X = ids(ops, 3000, below=2)
    _, backprop = model.begin_update(X)
    backprop(ops.alloc((3000, NO)) + 1)
    counts = np.bincount(to_numpy(X), minlength=3)
    gradient = to_numpy(model.layers[0].get_grad("E"))
    np.testing.assert_array_equal(gradient, np.repeat(counts[:, None], NO, axis=1))
