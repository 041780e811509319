"""The parameters of a wrapped module, and who updates them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats, ids, ops_or_skip, other_ops
from tests.models.wrappers.modules import linear, mlp, nn, torch, wrapped
from triops import Model, Ops, check_gradient, to_numpy
from triops.errors import ArgumentError, DTypeError, ShapeError, UninitializedError
from triops.models import SGD, Adam, AdamW, CategoricalCrossentropy, Linear, PyTorchWrapper, Relu, Softmax, chain


def weights(model: Model) -> list[Any]:
    return [to_numpy(node.get_param(name)) for node in model.walk() for name in node.param_names]


def assert_close(some: list[Any], others: list[Any], tolerance: float = 1e-6) -> None:
    for a, b in zip(some, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def one_pass(model: Model, ops: Ops, step: int = 1, sgd: Any = None) -> None:
    Y, backprop = model.begin_update(floats(ops, 6, 4, seed=step))
    backprop(Y - floats(ops, *Y.shape, seed=100 + step), sgd=sgd)


# -- parameters


def test_parameters_are_the_modules(ops: Ops) -> None:
    model = wrapped()
    assert model.param_names == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert model.count_params() == 4 * 5 + 5 + 5 * 3 + 3
    assert model.has_param("0.weight") is True
    assert model.has_param("weight") is False
    assert model.maybe_get_param("weight") is None
    with pytest.raises(UninitializedError, match="parameter weight does not exist"):
        model.get_param("weight")
    value = floats(ops, 3)
    model.set_param("2.bias", value)
    np.testing.assert_array_equal(model.module[2].bias.detach().numpy(), to_numpy(value))
    assert isinstance(model.module[2].bias, nn.Parameter)


def test_a_value_that_does_not_fit_is_refused(ops: Ops) -> None:
    model = wrapped()
    with pytest.raises(ShapeError, match=r"parameter 2.bias: expected shape \(3,\), got \(1,\)"):
        model.set_param("2.bias", floats(ops, 1))
    with pytest.raises(DTypeError, match=r"parameter 2.bias: expected float32, got float64: convert it"):
        model.set_param("2.bias", floats(ops, 3, dtype="float64"))
    with pytest.raises(ArgumentError, match=r"parameter bias cannot be set.*'2.bias'"):
        model.set_param("bias", floats(ops, 3))
    with pytest.raises(TypeError, match=r"2\.bias"):
        model.set_param("2.bias", floats(other_ops(ops), 3))
    with pytest.raises(TypeError, match=r"parameter 2.bias must be an array"):
        model.set_param("2.bias", None)
    with pytest.raises(ShapeError, match=r"gradient of 2.bias: expected"):
        model.set_grad("2.bias", floats(ops, 4))


def test_gradients_can_be_set_added_to_and_forgotten(ops: Ops) -> None:
    model, one = wrapped(linear), floats(ops, 2) * 0 + 1
    assert model.maybe_get_grad("bias") is None
    with pytest.raises(UninitializedError, match="bias has no gradient"):
        model.get_grad("bias")
    model.inc_grad("bias", one)
    model.inc_grad("bias", one)
    np.testing.assert_array_equal(to_numpy(model.get_grad("bias")), [2, 2])
    model.set_grad("bias", one)
    assert (model.has_grad("bias"), model.has_grad("weight"), model.has_grad("other")) == (True, False, False)
    np.testing.assert_array_equal(model.module.bias.grad.numpy(), [1, 1])
    with pytest.raises(ShapeError, match="gradient of bias"):
        model.inc_grad("bias", floats(ops, 3))
    chain(model, Relu(2)).clear_grads()
    assert model.module.bias.grad is None


def test_frozen_parameters_are_not_trained(ops: Ops) -> None:
    model = wrapped()
    model.module[0].requires_grad_(False)
    assert model.param_names == ("2.weight", "2.bias")
    before = to_numpy(model.get_param("0.weight"))
    one_pass(model, ops, sgd=SGD(0.1))
    np.testing.assert_array_equal(to_numpy(model.get_param("0.weight")), before)
    assert check_gradient(model, floats(ops, 6, 4))


def test_other_parameters_for_a_block(ops: Ops) -> None:
    model = chain(wrapped(), Linear(3, 3)).initialize()
    optimizer = Adam(0.1)
    for step in range(3):
        one_pass(model, ops, step, optimizer)
    trained, averages = weights(model), optimizer.averages
    assert averages is not None
    with model.use_params(averages):
        keys = [(node.id, name) for node in model.walk() for name in node.param_names]
        assert_close(weights(model), [to_numpy(averages[key]) for key in keys], 0)
        assert not np.allclose(weights(model)[0], trained[0])
    assert_close(weights(model), trained, 0)


# -- updates


@pytest.mark.parametrize("rule", ["adam", "adamw", "sgd"])
def test_the_optimizers_of_triops_and_torch_agree(ops: Ops, rule: str) -> None:
    ours: Any = {
        "adam": Adam(0.01, grad_clip=0),
        "adamw": AdamW(0.01, L2=0.1, grad_clip=0),
        "sgd": SGD(0.01, momentum=0.9, grad_clip=0),
    }[rule]
    models = [wrapped() for _ in range(3)]
    theirs = {
        "adam": lambda p: torch.optim.Adam(p, 0.01),
        "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
        "sgd": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
    }[rule]
    given = theirs(models[1].module.parameters())
    models[2] = PyTorchWrapper(models[2].module, optimizer=theirs(models[2].module.parameters()))
    for step in range(5):
        one_pass(models[0], ops, step, ours)
        one_pass(models[1], ops, step, given)
        one_pass(models[2], ops, step)
        models[2].finish_update(Adam(99.0))  # its own is used all the same
    before = weights(wrapped())
    for model in models[1:]:
        assert_close(weights(model), weights(models[0]))
    assert not np.allclose(before[0], weights(models[0])[0], atol=1e-3)
    assert not any(model.has_grad(name) for model in models for name in model.param_names)


def test_any_function_can_update(ops: Ops) -> None:
    model, seen = wrapped(), []

    def halve(key: Any, W: Any, dW: Any) -> tuple[Any, Any]:
        seen.append((key, W.shape == dW.shape))
        return W * 0.5, dW

    before = weights(model)
    one_pass(model, ops, sgd=halve)
    assert seen == [((model.id, name), True) for name in model.param_names]
    assert_close(weights(model), [w / 2 for w in before])


def test_without_gradients_nothing_moves(ops: Ops) -> None:
    model = wrapped()
    before = weights(model)
    for optimizer in (torch.optim.AdamW(model.module.parameters(), weight_decay=1.0), AdamW(L2=1.0)):
        model.finish_update(optimizer)
    assert_close(weights(model), before, 0)


def test_sparse_gradients_update_alike(ops: Ops) -> None:
    dense, sparse = (wrapped(lambda sparse=sparse: nn.Embedding(9, 4, sparse=sparse)) for sparse in (False, True))
    for model in (dense, sparse):
        Y, backprop = model.begin_update(ids(ops, 6, below=9))
        backprop(Y, sgd=Adam(0.1))
    assert_close(weights(dense), weights(sparse))
    Y, backprop = sparse.begin_update(ids(ops, 6, below=9))
    backprop(Y, sgd=torch.optim.SparseAdam(sparse.module.parameters()))
    assert not np.allclose(weights(dense)[0], weights(sparse)[0], atol=1e-5)


def test_a_model_with_other_layers_refuses_torchs_optimizer_before_any_update(ops: Ops) -> None:
    model = chain(wrapped(), Linear(2, 3)).initialize()
    before = weights(model)
    _, backprop = model.begin_update(floats(ops, 6, 4))
    with pytest.raises(ArgumentError, match=r"got Adam: .* of another library to the wrapper of its layers"):
        backprop(floats(ops, 6, 2), sgd=torch.optim.Adam(model.layers[0].module.parameters()))
    assert_close(weights(model), before, 0)


def test_the_wrappers_of_a_model_can_have_optimizers_of_their_own(ops: Ops) -> None:
    module = mlp()
    own = torch.optim.SGD(module.parameters(), 0.5)
    model = chain(PyTorchWrapper(module, optimizer=own), Linear(2, 3)).initialize()
    twin = chain(PyTorchWrapper(module), model.layers[1]).copy()
    one_pass(model, ops, sgd=SGD(0.25, grad_clip=0))
    one_pass(twin, ops)
    twin.layers[0].finish_update(SGD(0.5, grad_clip=0))
    twin.layers[1].finish_update(SGD(0.25, grad_clip=0))
    assert_close(weights(model), weights(twin))


def test_an_optimizer_of_other_parameters_is_refused(ops: Ops) -> None:
    other = torch.optim.SGD(mlp().parameters(), 0.1)
    with pytest.raises(ArgumentError, match="optimizer: SGD has none of this module's parameters"):
        wrapped(optimizer=other)
    with pytest.raises(ArgumentError, match=r"optimizer must be a torch.optim.Optimizer, got Adam: leave it out"):
        wrapped(optimizer=Adam())
    model = wrapped(name="tagger")
    with pytest.raises(ArgumentError, match="tagger: optimizer: SGD has none of this module's parameters"):
        one_pass(model, ops, sgd=other)
    with pytest.raises(ArgumentError, match="optimizer must be callable"):
        model.finish_update(0.1)


def test_a_chain_of_both_learns(ops: Ops) -> None:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 3, 48)
    X = ops.asarray((2 * np.eye(3)[labels] + 0.5 * draws.normal(size=(48, 3))).astype("float32"))
    Y = ops.asarray(np.eye(3)[labels])
    model = chain(Linear(4), wrapped(), Softmax()).initialize(X, Y, seed=1)
    assert (model.get_dim("nI"), model.get_dim("nO"), model.layers[2].get_dim("nI")) == (3, 3, 3)
    loss_function, optimizer, losses = CategoricalCrossentropy(), Adam(0.05), []
    for _ in range(25):
        Yh, backprop = model.begin_update(X)
        gradient, loss = loss_function(Yh, labels.tolist())
        backprop(gradient, sgd=optimizer)
        losses.append(float(loss))
    assert losses[-1] < 0.3 * losses[0]


# -- copying and moving


def test_a_copy_is_a_model_of_its_own(ops: Ops) -> None:
    module = mlp()
    model = PyTorchWrapper(module, optimizer=torch.optim.Adam(module.parameters(), 0.1))
    one_pass(model, ops, 1, Adam())
    one_pass(model, ops, 2)
    twin = model.copy()
    for step in (3, 4):
        for each in (model, twin):
            one_pass(each, ops, step, Adam())
    assert_close(weights(model), weights(twin), 0)
    one_pass(twin, ops, 5, Adam())
    assert not np.allclose(weights(model)[0], weights(twin)[0])
    assert twin.id != model.id


def test_a_pickled_model_goes_on(ops: Ops) -> None:
    module = mlp()
    model = PyTorchWrapper(module, optimizer=torch.optim.Adam(module.parameters(), 0.1))
    one_pass(model, ops, 1, Adam())
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        one_pass(each, ops, 2, Adam())
    assert_close(weights(model), weights(twin), 0)


def test_moving_keeps_weights_and_moments(ops: Ops) -> None:
    module = nn.Sequential(mlp(), nn.BatchNorm1d(3))
    model = PyTorchWrapper(module, optimizer=torch.optim.Adam(module.parameters(), 0.1))
    one_pass(model, ops, 1, Adam())
    twin = model.copy().to(other_ops(ops))
    assert (twin.ops.name, model.ops.name) == (other_ops(ops).name, ops.name)
    for each in (model, twin):
        one_pass(each, each.ops, 2, Adam())
    assert_close(weights(model), weights(twin), 1e-5)


def test_another_dtype_is_for_the_buffers_and_the_moments_too(ops: Ops) -> None:
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    model = PyTorchWrapper(module, optimizer=torch.optim.Adam(module.parameters(), 0.1))
    one_pass(model, ops, 1, Adam())
    model.astype("float64")
    kinds = {name.rpartition(".")[2]: tensor.dtype for name, tensor in module.state_dict().items()}
    assert kinds.pop("num_batches_tracked") is torch.int64
    assert set(kinds.values()) == {torch.float64}
    Y, backprop = model.begin_update(floats(ops, 6, 4, dtype="float64"))
    backprop(Y, sgd=Adam())
    assert {str(array.dtype) for array in weights(model)} == {"float64"}
    model.astype("float32")
    one_pass(model, ops, 2, Adam())
    assert {str(array.dtype) for array in weights(model)} == {"float32"}


def test_a_dtype_that_numpy_has_not_can_be_moved_away_from_it() -> None:
    model = wrapped(lambda: nn.Linear(4, 3).to(torch.bfloat16), ops=ops_or_skip("numpy"))
    assert str(model.copy().to(ops_or_skip("jax")).get_param("bias").dtype) == "bfloat16"
    assert str(model.astype("float32").get_param("bias").dtype) == "float32"


def test_the_ops_of_a_wrapper_can_be_given() -> None:
    for name in ("numpy", "jax"):
        assert wrapped(linear, ops=ops_or_skip(name)).ops.name == name
