"""Mixed precision with a gradient scaler, and modules that torch.compile made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats
from tests.models.wrappers.modules import linear, mlp, nn, torch, wrapped
from triops import Ops, to_numpy
from triops.errors import ArgumentError
from triops.models import SGD, Adam, PyTorchWrapper

# -- mixed precision


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_module_computes_in_16_bits_and_the_rest_sees_32(ops: Ops, dtype: str) -> None:
    inside = []

    class Seen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()

        def forward(self, X: Any) -> Any:
            Y = self.inner(X)
            inside.append(Y.dtype)
            return Y

    plain, mixed, X = wrapped(Seen), wrapped(Seen, mixed_precision=dtype), floats(ops, 6, 4)
    dY = floats(ops, 6, 3) * 0.01
    results = []
    for model in (plain, mixed):
        Y, backprop = model.begin_update(X)
        results.append([Y, backprop(dY), *(model.get_grad(name) for name in model.param_names)])
    assert inside == [torch.float32, getattr(torch, dtype)]
    for exact, close in zip(*results, strict=True):
        assert str(close.dtype) == "float32"
        np.testing.assert_allclose(to_numpy(close), to_numpy(exact), atol=0.05 * float(abs(exact).max()) + 1e-3)
    assert any(not np.array_equal(to_numpy(a), to_numpy(b)) for a, b in zip(*results, strict=True))


def test_small_gradients_survive_float16(ops: Ops) -> None:
    """1e-7 is nothing in float16: without the scale no gradient would come back."""
    X, dY = floats(ops, 6, 3), floats(ops, 6, 2) * 1e-7
    model, plain = wrapped(linear, mixed_precision="float16"), wrapped(linear)
    dX, expected = model.begin_update(X)[1](dY), plain.begin_update(X)[1](dY)
    np.testing.assert_allclose(to_numpy(dX), to_numpy(expected), rtol=0.02, atol=1e-10)
    np.testing.assert_allclose(to_numpy(model.get_grad("weight")), to_numpy(plain.get_grad("weight")), rtol=0.02)


def test_gradients_that_overflow_teach_nothing_and_halve_the_scale(ops: Ops) -> None:
    X, dY = floats(ops, 6, 3), floats(ops, 6, 2)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    model = wrapped(linear, mixed_precision="float16", grad_scaler=scaler)
    model.begin_update(X)[1](dY)
    kept = to_numpy(model.get_grad("weight")).copy()
    dX = model.begin_update(X)[1](dY * 1000)
    assert not to_numpy(dX).any()
    np.testing.assert_array_equal(to_numpy(model.get_grad("weight")), kept)
    assert scaler.get_scale() == 2.0**9
    for _ in range(2):
        model.begin_update(X)[1](dY * 0.01)
    assert scaler.get_scale() == 2.0**10
    assert np.isfinite(to_numpy(model.get_grad("weight"))).all()


def test_the_scale_is_saved(ops: Ops) -> None:
    model = wrapped(linear, mixed_precision="float16")
    for _ in range(2):
        model.begin_update(floats(ops, 6, 3))[1](floats(ops, 6, 2) * 1e4)
    loaded = wrapped(linear, mixed_precision="float16").from_bytes(model.to_bytes())
    assert model._precision.scale == loaded._precision.scale == 2.0**14


def test_it_learns_in_mixed_precision(ops: Ops) -> None:
    model, X = wrapped(mixed_precision="float16"), floats(ops, 48, 4)
    target, losses, optimizer = X[:, :3] * 0.5, [], Adam(0.02)
    for _ in range(40):
        Y, backprop = model.begin_update(X)
        losses.append(float(((Y - target) ** 2).mean()))
        backprop((Y - target) / 48, sgd=optimizer)
    assert losses[-1] < 0.2 * losses[0]


def test_a_torch_optimizer_gets_gradients_without_the_scale(ops: Ops) -> None:
    X, dY = floats(ops, 6, 3), floats(ops, 6, 2)
    module = wrapped(linear).module
    mixed = PyTorchWrapper(
        module,
        mixed_precision="float16",
        grad_scaler=torch.amp.GradScaler("cpu", init_scale=128.0),
        optimizer=torch.optim.SGD(module.parameters(), 0.1),
    )
    plain = wrapped(linear)
    mixed.begin_update(X)[1](dY, sgd=Adam())
    plain.begin_update(X)[1](dY, sgd=SGD(0.1, grad_clip=0))
    np.testing.assert_allclose(
        to_numpy(mixed.get_param("weight")), to_numpy(plain.get_param("weight")), atol=2e-3
    )


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"mixed_precision must be one of .*, got 'half'"):
        wrapped(mixed_precision="half")
    with pytest.raises(ArgumentError, match=r"grad_scaler must be a torch.amp.GradScaler, got float"):
        wrapped(mixed_precision="float16", grad_scaler=2.0)
    with pytest.raises(ArgumentError, match="grad_scaler is for mixed_precision='float16'"):
        wrapped(grad_scaler=torch.amp.GradScaler("cpu"))


# -- torch.compile

compiled = pytest.mark.filterwarnings("ignore")  # the compiler's own


def made_compiled() -> Any:
    return torch.compile(mlp(), backend="aot_eager")


@compiled
def test_a_compiled_module_is_a_module(ops: Ops) -> None:
    X, dY, plain, model = floats(ops, 6, 4), floats(ops, 6, 3), wrapped(mlp), wrapped(made_compiled)
    assert model.param_names == plain.param_names
    for _ in range(2):
        results = []
        for each in (plain, model):
            Y, backprop = each.begin_update(X)
            results.append([Y, backprop(dY, sgd=SGD(0.1)), *(each.get_param(name) for name in each.param_names)])
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(to_numpy(ours), to_numpy(theirs), rtol=1e-5, atol=1e-6)


@compiled
def test_weights_load_where_they_are_not_compiled_and_back(ops: Ops) -> None:
    model, plain, X = wrapped(made_compiled), wrapped(mlp), floats(ops, 6, 4)
    model.begin_update(X)[1](floats(ops, 6, 3), sgd=SGD(0.1))
    plain.from_bytes(model.to_bytes())
    expected = to_numpy(model.predict(X))
    np.testing.assert_allclose(to_numpy(plain.predict(X)), expected, rtol=1e-5, atol=1e-6)
    back = wrapped(made_compiled).from_bytes(plain.to_bytes())
    np.testing.assert_allclose(to_numpy(back.predict(X)), expected, rtol=1e-5, atol=1e-6)


@compiled
def test_a_compiled_part_of_a_module(ops: Ops) -> None:
    model = wrapped(lambda: nn.Sequential(torch.compile(nn.Linear(4, 3), backend="aot_eager"), nn.Tanh()))
    assert model.param_names == ("0.weight", "0.bias")
    X = floats(ops, 6, 4)
    before = to_numpy(model.get_param("0.weight")).copy()
    model.begin_update(X)[1](floats(ops, 6, 3), sgd=SGD(0.1))
    assert not np.array_equal(to_numpy(model.get_param("0.weight")), before)
    plain = wrapped(lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh())).from_bytes(model.to_bytes())
    np.testing.assert_allclose(to_numpy(plain.predict(X)), to_numpy(model.predict(X)), rtol=1e-5, atol=1e-6)
