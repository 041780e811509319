"""PyTorchWrapper computes what torch computes, forward and backward, and leaves torch as it was."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats, ids, ops_or_skip, other_ops
from tests.models.wrappers.modules import CASES, Case, Own, linear, mlp, nn, torch, wrapped
from triops import Ops, check_gradient, to_numpy
from triops.errors import ArgumentError, ArrayOwnerError, DTypeError, ShapeError
from triops.models import SGD, Adam, PyTorchWrapper, Relu, chain

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def leaves(tree: Any) -> Iterator[Any]:
    """The arrays or tensors in lists and tuples, as NumPy."""
    if isinstance(tree, list | tuple):
        for item in tree:
            yield from leaves(item)
    elif isinstance(tree, torch.Tensor):
        yield tree.detach().to_dense().numpy()
    else:
        yield tree if tree is None else to_numpy(tree)


def assert_close(some: Any, others: Any) -> None:
    for a, b in zip(leaves(some), leaves(others), strict=True):
        if a is None or b is None:
            assert a is b
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def gradients_like(ops: Ops, Y: Any, seed: int = 5) -> Any:
    if isinstance(Y, tuple):
        return tuple(gradients_like(ops, y, seed + i) for i, y in enumerate(Y))
    return floats(ops, *Y.shape, seed=seed)


def by_torch(module: Any, X: Any, dY: Any) -> tuple[Any, Any]:
    """Y, and the gradients of the inputs; those of the parameters are added to the module's."""
    inputs = [torch.tensor(x) for x in leaves(X)]
    for x in inputs:
        x.requires_grad_(x.is_floating_point())
    Y = module(*(x.clone() if x.requires_grad else x for x in inputs))
    flat = list(leaves_of_tensors(Y))
    torch.autograd.backward(flat, [torch.tensor(dy) for dy in leaves(dY)])
    dX = [x.grad for x in inputs]
    return Y, dX if isinstance(X, list) else dX[0]


def leaves_of_tensors(tree: Any) -> Iterator[Any]:
    if isinstance(tree, list | tuple):
        for item in tree:
            yield from leaves_of_tensors(item)
    else:
        yield tree


# -- the same as torch


@every_case
def test_output_and_gradients_are_those_of_torch(ops: Ops, case: Case) -> None:
    model, X = PyTorchWrapper(case.module()), case.inputs(ops)
    Y, backprop = model.begin_update(X)
    dY = gradients_like(ops, Y)
    dX = backprop(dY)
    module = case.module()
    expected_Y, expected_dX = by_torch(module, X, dY)
    assert_close(Y, expected_Y)
    assert_close(dX, expected_dX)
    assert all(
        model.ops.backend.owns(y) for y in [*(Y if isinstance(Y, tuple) else [Y])] if not isinstance(y, tuple)
    )
    names = dict(module.named_parameters())
    assert set(names) == set(model.param_names)
    for name, parameter in names.items():
        assert_close(model.get_grad(name), parameter.grad)


@every_case
def test_gradients_agree_with_finite_differences(ops: Ops, case: Case) -> None:
    assert check_gradient(PyTorchWrapper(case.module()), case.inputs(ops))


def test_gradients_through_dropout_agree_with_finite_differences(ops: Ops) -> None:
    model = wrapped(lambda: nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)))
    assert check_gradient(model, floats(ops, 6, 4))
    assert check_gradient(model, floats(ops, 6, 4), drop=0.2)


def test_a_model_around_a_wrapper_passes_the_gradient_check(ops: Ops) -> None:
    model = chain(Relu(4, 3), wrapped(mlp), Relu(2, 3)).initialize(seed=1)
    assert len(check_gradient(model, floats(ops, 6, 3))) == 2 * (2 + 4 + 2 + 1)


def test_a_scripted_module(ops: Ops) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = wrapped(lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.2))))
    X = floats(ops, 6, 4)
    Y, backprop = model.begin_update(X)
    backprop(Y, sgd=Adam(0.1))
    assert model.module.training
    assert_close(model.predict(X), X @ model.get_param("0.weight").T + model.get_param("0.bias"))


def test_a_module_with_parametrizations(ops: Ops) -> None:
    model = wrapped(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))
    assert len(check_gradient(model, floats(ops, 6, 4))) == 2 * 4


def test_prediction_is_that_of_eval_mode(ops: Ops) -> None:
    model, X = wrapped(lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))), floats(ops, 6, 4)
    with torch.no_grad():
        expected = model.module.eval()(torch.tensor(to_numpy(X)))
    model.module.train()
    assert_close(model.predict(X), expected)


def test_integers_have_no_gradient(ops: Ops) -> None:
    model = wrapped(lambda: nn.Embedding(9, 4))
    Y, backprop = model.begin_update(ids(ops, 6, below=9))
    assert backprop(floats(ops, *Y.shape)) is None


def test_of_several_inputs_integers_alone_have_no_gradient(ops: Ops) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 4)

        def forward(self, ids: Any, X: Any) -> Any:
            return [self.table(ids) * X, ids + 1]

    model, X = wrapped(Scaled), (ids(ops, 6, below=9), floats(ops, 6, 4))
    Y, backprop = model.begin_update(X)
    assert isinstance(Y, list)
    assert to_numpy(Y[1]).dtype.kind == "i"
    dY = floats(ops, 6, 4, seed=3)
    nothing, dX = backprop([dY, None])
    assert nothing is None
    assert_close(dX, dY * ops.asarray(model.module.table(torch.tensor(to_numpy(X[0]))).detach().numpy()))


def test_none_is_the_gradient_of_an_output_that_is_not_used(ops: Ops) -> None:
    X, dY = floats(ops, 5, 2, 3), floats(ops, 5, 2, 4, seed=2)
    dXs = []
    for rest in ((0 * floats(ops, 1, 2, 4), 0 * floats(ops, 1, 2, 4)), None):
        model = wrapped(CASES["lstm"].make)
        dXs.append(model.begin_update(X)[1]((dY, rest)))
    assert_close(*dXs)
    assert np.any(to_numpy(dXs[0]))


def test_an_input_that_is_not_used_has_a_gradient_of_zero(ops: Ops) -> None:
    Y, backprop = wrapped(lambda: Own(lambda X, p: p * 2)).begin_update(floats(ops, 4, 5))
    assert_close(backprop(floats(ops, *Y.shape)), floats(ops, 4, 5) * 0)


def test_what_is_recorded_is_recorded_whatever_the_caller_has_switched_off(ops: Ops) -> None:
    X, dY = floats(ops, 6, 4), floats(ops, 6, 3)
    expected = wrapped().begin_update(X)[1](dY)
    for switch in (torch.no_grad, torch.inference_mode):
        model = wrapped()
        with switch():
            assert_close(model.begin_update(X)[1](dY), expected)
    _, backprop = wrapped().begin_update(X)
    with torch.inference_mode():
        assert_close(backprop(dY), expected)


def test_64_bits_stay_64_bits(ops: Ops) -> None:
    model = wrapped(linear).astype("float64")
    Y, backprop = model.begin_update(floats(ops, 6, 3, dtype="float64"))
    dX = backprop(floats(ops, 6, 2, dtype="float64"))
    assert [str(a.dtype) for a in (Y, dX, model.get_param("weight"), model.get_grad("bias"))] == ["float64"] * 4


# -- several passes


def test_gradients_of_several_passes_add_up_in_any_order(ops: Ops) -> None:
    X1, X2, dY = floats(ops, 6, 4), floats(ops, 6, 4, seed=2), floats(ops, 6, 3, seed=3)
    each = []
    for X in (X1, X2):
        model = wrapped()
        model.begin_update(X)[1](dY)
        each.append(model)
    for order in ((0, 1), (1, 0)):
        model = wrapped()
        callbacks = [model.begin_update(X)[1] for X in (X1, X2)]
        for which in order:
            callbacks[which](dY)
        for name in model.param_names:
            assert_close(model.get_grad(name), each[0].get_grad(name) + each[1].get_grad(name))
        model.clear_grads()
        assert not any(map(model.has_grad, model.param_names))


def test_one_wrapper_in_two_places(ops: Ops) -> None:
    layer = wrapped(lambda: nn.Linear(4, 4))
    model = chain(layer, layer)
    assert check_gradient(model, floats(ops, 6, 4))


def test_gradients_that_torch_lays_into_one_place_are_told_apart(ops: Ops) -> None:
    """Two of one sum are views of one array to torch, which then adds to both at each addition."""

    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p, self.q = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))

        def forward(self, X: Any) -> Any:
            return X.view(-1) + self.p.view(-1) + self.q.view(-1)

    for share in (True, False):
        model = wrapped(Twins, share=share)
        X, dY = floats(ops, 3), floats(ops, 3, seed=2)
        before = to_numpy(dY).copy()
        for _ in range(3):
            dX = model.begin_update(X)[1](dY)
        for gradient in (model.get_grad("p") / 3, model.get_grad("q") / 3, dX, dY):
            np.testing.assert_allclose(to_numpy(gradient), before, rtol=1e-6)


def test_backprop_a_second_time_is_refused(ops: Ops) -> None:
    # The sum keeps nothing for its backward pass, so torch itself would let it pass.
    for make in (mlp, lambda: Own(lambda X, p: X + p, (4,))):
        Y, backprop = wrapped(make).begin_update(floats(ops, 6, 4))
        dY = floats(ops, *Y.shape)
        backprop(dY)
        with pytest.raises(ArgumentError, match="before, and torch has let go of what it recorded"):
            backprop(dY)


def test_a_refused_gradient_does_not_use_the_pass_up(ops: Ops) -> None:
    _, backprop = wrapped().begin_update(floats(ops, 6, 4))
    with pytest.raises(ShapeError, match=r"dY must have the shape of Y, \(6, 3\), got \(6, 2\)"):
        backprop(floats(ops, 6, 2))
    assert backprop(floats(ops, 6, 3)).shape == (6, 4)


def test_parameters_that_changed_since_the_forward_pass_are_refused(ops: Ops) -> None:
    model = wrapped()
    _, backprop = model.begin_update(floats(ops, 6, 4))
    model.set_param("2.weight", 2 * model.get_param("2.weight"))
    with pytest.raises(ArgumentError, match="parameters changed between begin_update and backprop"):
        backprop(floats(ops, 6, 3))


def test_backprop_of_a_prediction_is_refused(ops: Ops) -> None:
    _, backprop = wrapped().begin_update(floats(ops, 6, 4), drop=None)
    with pytest.raises(ArgumentError, match="drop=None predicts"):
        backprop(floats(ops, 6, 3))


# -- modes, dropout, random numbers


def modes(module: Any) -> list[bool]:
    return [inner.training for inner in module.modules()]


class Seen(nn.Module):
    """Notes the mode it is called in."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, X: Any) -> Any:
        self.modes.append(self.training)
        return X


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_set_for_the_pass_and_put_back(ops: Ops, training: bool) -> None:
    model = wrapped(lambda: nn.Sequential(Seen(), nn.Dropout(0.5)))
    model.module.train(training)
    model.begin_update(floats(ops, 6, 4))
    model.predict(floats(ops, 6, 4))
    assert model.module[0].modes == [True, False]
    assert modes(model.module) == [training] * 3


def test_a_frozen_part_stays_frozen(ops: Ops) -> None:
    model = wrapped(lambda: nn.Sequential(Seen(), Seen()))
    model.module[1].eval()
    model.begin_update(floats(ops, 6, 4))
    model.predict(floats(ops, 6, 4))
    assert [seen.modes for seen in model.module] == [[True, False], [False, False]]
    assert modes(model.module) == [True, True, False]


def test_a_module_that_overrides_train_is_asked(ops: Ops) -> None:
    class Merging(Seen):
        asked: list[bool] = []  # noqa: RUF012

        def train(self, mode: bool = True) -> Any:
            self.asked.append(mode)
            return super().train(mode)

    model = wrapped(Merging)
    model.predict(floats(ops, 6, 4))
    assert model.module.asked == [False, True]


def test_mode_and_rate_are_put_back_after_an_error(ops: Ops) -> None:
    model = wrapped(lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2)).eval())
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as error:
        model.begin_update(floats(ops, 6, 4), drop=0.2)
    assert error.value.__notes__ == ["in layer pytorchwrapper"]
    assert modes(model.module) == [False] * 3
    assert model.module[0].p == 0.5
    assert torch.equal(before, torch.get_rng_state())


def test_drop_is_the_rate_of_the_dropout_layers(ops: Ops) -> None:
    X = floats(ops, 40, 50) * 0 + 1

    def dropped(drop: float | None) -> float:
        model = wrapped(lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5)))
        Y, _ = model.begin_update(X, drop)
        assert model.module[1].p == 0.5
        return float((Y == 0).mean())

    assert dropped(0.0) == pytest.approx(0.5, abs=0.05)
    assert dropped(0.2) == pytest.approx(0.2, abs=0.05)
    assert dropped(None) == 0


@pytest.mark.parametrize("drop", [-0.1, 1.0, 1.5, float("nan")])
def test_drop_must_be_a_rate(ops: Ops, drop: float) -> None:
    with pytest.raises(ArgumentError, match="drop must be from 0 up to"):
        wrapped().begin_update(floats(ops, 6, 4), drop)


def noisy() -> Any:
    """Draws in torch's own layers, and in code of its own, in both modes."""
    return nn.Sequential(nn.Dropout(0.5), Own(lambda X, p: X + torch.randn(X.shape)), nn.RReLU())


def test_random_numbers_follow_from_the_seed_and_torchs_own_are_untouched(ops: Ops) -> None:
    X = floats(ops, 6, 4)

    def run(seed: int, torchs: int) -> list[Any]:
        torch.manual_seed(torchs)
        before = torch.get_rng_state()
        model = wrapped(noisy).initialize(X, seed=seed)
        outputs = [*(model.begin_update(X)[0] for _ in range(2)), *(model.predict(X) for _ in range(2))]
        assert torch.equal(before, torch.get_rng_state())
        return [to_numpy(Y) for Y in outputs]

    with torch.random.fork_rng():
        first, again, other = run(0, 1), run(0, 2), run(1, 1)
    assert_close(first, again)
    assert not np.allclose(first[0], other[0])
    assert not np.allclose(first[0], first[1])
    assert_close(first[2], first[3])  # a prediction is a function of its input


def test_draws_go_on_where_a_saved_model_left_off(ops: Ops) -> None:
    X = floats(ops, 6, 4)
    model = wrapped(noisy).initialize(X, seed=3)
    model.begin_update(X)
    loaded = wrapped(noisy).from_bytes(model.to_bytes())
    assert_close(loaded.begin_update(X)[0], model.begin_update(X)[0])


# -- threads


def test_many_threads_predict_with_one_model(ops: Ops) -> None:
    batches = [floats(ops, 6, 4, seed=seed) for seed in range(4)]
    for make, training in ((lambda: nn.Sequential(mlp(), nn.Dropout(0.5)), True), (noisy, True), (mlp, False)):
        model = wrapped(make).initialize(seed=1)
        model.module.train(training)
        expected = [to_numpy(model.predict(X)) for X in batches]

        def work(number: int, model: Any = model, expected: Any = expected) -> None:
            for _ in range(10):
                assert_close([model.predict(X) for X in batches], list(expected))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert modes(model.module) == [training] * len(modes(model.module))


def test_each_thread_trains_a_model_of_its_own(ops: Ops) -> None:
    X, dY = floats(ops, 6, 4), floats(ops, 6, 3)

    def train(model: Any) -> list[Any]:
        for _ in range(10):
            model.begin_update(X, drop=0.2)[1](dY, sgd=SGD(0.1))
        return [to_numpy(model.get_param(name)) for name in model.param_names]

    models = [wrapped(lambda: nn.Sequential(nn.Dropout(0.5), mlp())).initialize(seed=seed) for seed in range(6)]
    before = torch.get_rng_state()
    expected = [train(model.copy()) for model in models]
    with ThreadPoolExecutor(6) as pool:
        for trained, alone in zip(pool.map(train, models), expected, strict=True):
            assert_close(trained, alone)
    assert torch.equal(before, torch.get_rng_state())


# -- initialize


def test_initialize_leaves_the_weights_alone(ops: Ops) -> None:
    model = wrapped()
    before = [p.detach().clone() for p in model.module.parameters()]
    assert model.initialize(floats(ops, 6, 4), floats(ops, 6, 3), seed=5) is model
    assert_close(before, list(model.module.parameters()))
    assert model.dim_names == ()


def test_a_lazy_module_is_made_by_its_sample(ops: Ops) -> None:
    def lazy() -> Any:
        return nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())

    model = wrapped(lazy)
    assert model.has_param("0.weight") is None
    with pytest.raises(ValueError, match=r"0.weight has no value yet: call model.initialize"):
        model.get_param("0.weight")
    with pytest.raises(ValueError, match="the module is lazy"):
        model.initialize()
    with pytest.raises(ValueError, match=r"0.weight has no value yet: call model.initialize"):
        model.to_bytes()
    before = torch.get_rng_state()
    model.initialize(floats(ops, 6, 4), seed=1)
    assert model.get_param("0.weight").shape == (3, 4)
    assert torch.equal(before, torch.get_rng_state())
    twin = wrapped(lazy).initialize(floats(ops, 6, 4), seed=1)
    assert_close(model.get_param("0.weight"), twin.get_param("0.weight"))
    assert check_gradient(model, floats(ops, 6, 4))


# -- errors


def test_errors_say_what_came_and_what_to_do(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match=r"module must be a torch.nn.Module, got Relu: make one first"):
        PyTorchWrapper(Relu(3))
    with pytest.raises(ArgumentError, match="got type: make one first"):
        PyTorchWrapper(nn.Linear)
    with pytest.raises(ArrayOwnerError, match=r"weight of the module is on meta.*module.to\('cpu'\)"):
        PyTorchWrapper(nn.Linear(2, 2, device="meta"))
    with pytest.raises(ArrayOwnerError, match="running_mean of the module is on meta"):
        PyTorchWrapper(nn.BatchNorm1d(2, affine=False, device="meta"))
    with pytest.raises(DTypeError, match="must return a tensor, or lists and tuples of tensors, got dict"):
        wrapped(lambda: Own(lambda X, p: {"Y": X})).begin_update(floats(ops, 2, 3))
    with pytest.raises(ArrayOwnerError, match="X is an array of"):
        wrapped().begin_update(floats(other_ops(ops), 6, 4))
    with pytest.raises(DTypeError, match="X must be an array of"):
        wrapped().begin_update("text")
    with pytest.raises(DTypeError, match="dY is float64 and Y is float32"):
        wrapped().begin_update(floats(ops, 6, 4))[1](floats(ops, 6, 3, dtype="float64"))
    model = chain(Relu(4, 4), wrapped()).initialize(floats(ops, 6, 4))
    model.layers[1].module[0] = nn.Linear(7, 5)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as error:
        model.predict(floats(ops, 6, 4))
    assert error.value.__notes__ == ["in layer chain > 1:pytorchwrapper"]


def test_values_that_are_not_known_yet_are_refused() -> None:
    model = wrapped(linear, ops=ops_or_skip("jax"))
    with pytest.raises(ArgumentError, match="JAX is tracing it"):
        importlib.import_module("jax").make_jaxpr(model.predict)(np.ones((2, 3), dtype="float32"))


def test_repr_names_the_module() -> None:
    assert repr(wrapped()) == "PyTorchWrapper(Sequential)"
