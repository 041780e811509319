"""Optimizer updates over several steps, against float64 and against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.ops.cases import updates
from tests.subject import Subject
from triops import get_ops
from triops.errors import ArgumentError, DTypeError, ShapeError

SHAPE = (3, 7)
STEPS = 30
RATES = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "learn_rate": 0.01}


def _gradients() -> Any:
    return np.random.default_rng(1).normal(0, 1, (STEPS, *SHAPE))


def _start() -> Any:
    return np.random.default_rng(2).normal(0, 1, SHAPE)


@pytest.mark.parametrize(
    ("op", "oracle", "states", "numbers"),
    [
        ("sgd_momentum", updates.sgd_momentum, 1, {"learn_rate": 0.01, "momentum": 0.9, "decay": 0.001}),
        ("adam", updates.adam, 2, RATES | {"decay": 0.001}),
        ("radam", updates.radam, 2, RATES | {"decay": 0.001}),
    ],
)
def test_several_steps(
    op: str, oracle: Callable[..., Any], states: int, numbers: dict[str, float], backend: Subject
) -> None:
    for dtype, relative in (("float64", 1e-12), ("float32", 1e-5)):
        expected = (_start(), *np.zeros((states, *SHAPE)))
        arrays = tuple(backend.array(array.astype(dtype)) for array in expected)
        for step, gradient in enumerate(_gradients(), start=1):
            counted = numbers | ({"step": step} if states == 2 else {})
            expected = oracle(expected[0], gradient, *expected[1:], **counted)
            dW = backend.array(gradient.astype(dtype))
            arrays = getattr(backend.ops, op)(arrays[0], dW, *arrays[1:], **counted)
        assert abs(expected[0] - _start()).max() > 0.01
        for array, oracle_array in zip(arrays, expected, strict=True):
            np.testing.assert_allclose(backend.numpy(array), oracle_array, rtol=relative, atol=relative)


def test_averages_warm_up(backend: Subject) -> None:
    """After the first step the average is nearly the weights, and then ever slower to follow them."""
    ema, zeros = np.full(SHAPE, 5.0), np.zeros(SHAPE)
    average = backend.array(ema)
    for t in range(5):
        ema = ema * (1 + t) / (10 + t)
        average = backend.ops.update_averages(average, backend.array(zeros), t)
    np.testing.assert_allclose(backend.numpy(average), ema, rtol=1e-12)


def test_clipped_gradient_has_the_threshold_as_norm(backend: Subject) -> None:
    gradient = np.random.default_rng(3).normal(0, 100, SHAPE)
    clipped = backend.numpy(backend.ops.clip_gradient(backend.array(gradient), 2.5))
    assert np.linalg.norm(clipped) == pytest.approx(2.5, rel=1e-12)
    np.testing.assert_allclose(clipped / gradient, 2.5 / np.linalg.norm(gradient), rtol=1e-12)


def test_last_digits_of_the_second_moment(backend: Subject) -> None:
    """1 - 0.999 taken in float32 is 1e-5 off; it has to come from the host in double precision."""
    W = np.zeros(SHAPE, dtype="float32")
    dW = np.full(SHAPE, 0.3, dtype="float32")
    args = [backend.array(array) for array in (W, dW, W, W)]
    _, _, mom2 = backend.ops.adam(*args, 0.9, 0.999, 1e-8, 1e-3, 1)
    np.testing.assert_allclose(backend.numpy(mom2), 0.001 * float(np.float32(0.3)) ** 2, rtol=3e-7)


SHAPES = ((3, 7), (257,), (), (0, 5), (1, 1, 4), (64, 96))
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("Wd", {"learn_rate": 0.1, "decay": 0.01}),
    "sgd_momentum": ("Wdm", {"learn_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": ("Wdmv", RATES | {"step": 3, "decay": 0.001}),
    "radam": ("Wdmv", RATES | {"step": 7}),
    "clip_gradient": ("d", {"threshold": 1.0}),
    "update_averages": ("mW", {"t": 4}),
}


@pytest.mark.parametrize("op", CALLS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_lists_are_updated_array_by_array(op: str, dtype: str, backend: Subject) -> None:
    letters, numbers = CALLS[op]
    rng = np.random.default_rng(4)
    drawn = [[np.asarray(abs(rng.normal(0, 1, shape)), dtype) for shape in SHAPES] for _ in letters]
    call = getattr(backend.ops, op)
    together = call(*([backend.array(array.copy()) for array in arrays] for arrays in drawn), **numbers)
    apart = [
        call(*(backend.array(array.copy()) for array in arrays), **numbers) for arrays in zip(*drawn, strict=True)
    ]
    if not isinstance(together, tuple):
        together, apart = (together,), [(result,) for result in apart]
    relative = 1e-14 if dtype == "float64" else 3e-7
    for results, expected in zip(together, zip(*apart, strict=True), strict=True):
        assert isinstance(results, list)
        for result, one in zip(results, expected, strict=True):
            assert (result.dtype, result.shape) == (one.dtype, one.shape)
            np.testing.assert_allclose(backend.numpy(result), backend.numpy(one), rtol=relative, atol=relative)


@pytest.mark.parametrize("op", CALLS)
def test_no_array_at_all(op: str, backend: Subject) -> None:
    letters, numbers = CALLS[op]
    result = getattr(backend.ops, op)(*([] for _ in letters), **numbers)
    assert result == ([] if len(letters) < 3 else ([],) * (len(letters) - 1))


def test_lists_that_do_not_fit_are_named(backend: Subject) -> None:
    ops, W = backend.ops, backend.array(_start())
    with pytest.raises(ShapeError, match=r"^sgd: gradient must be a list of 2, as weights, got 1"):
        ops.sgd([W, W], [W], 0.1)
    with pytest.raises(DTypeError, match=r"^adam: mom1 must be a list, as weights is, got (ndarray|ArrayImpl)"):
        ops.adam([W], [W], W, [W], 0.9, 0.99, 1e-8, 0.1, 1)
    with pytest.raises(ShapeError, match=r"^sgd: gradient\[1\] must have shape \(3, 7\) \(as weights\[1\]\)"):
        ops.sgd([W, W], [W, W.T], 0.1)
    with pytest.raises(DTypeError, match=r"^clip_gradient: gradient\[0\] must be a floating array"):
        ops.clip_gradient([backend.array(np.ones(3, "int32"))], 1.0)


@pytest.mark.parametrize("threshold", [0.5, 1e3, np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_global_norm(threshold: float, dtype: str, backend: Subject) -> None:
    rng = np.random.default_rng(5)
    drawn = [np.asarray(rng.normal(0, 1, shape), dtype) for shape in SHAPES]
    norm = np.sqrt(sum(np.sum(np.square(array, dtype="float64")) for array in drawn))
    results = backend.ops.clip_global_norm([backend.array(array.copy()) for array in drawn], threshold)
    for result, array in zip(results, drawn, strict=True):
        assert (result.dtype, result.shape) == (dtype, array.shape)
        expected = array * min(1.0, threshold / norm)
        np.testing.assert_allclose(backend.numpy(result), expected, rtol=1e-6 if dtype == "float32" else 1e-13)


def test_global_norm_as_pytorch() -> None:
    torch = pytest.importorskip("torch")
    drawn = [np.asarray(np.random.default_rng(6).normal(0, 1, shape)) for shape in SHAPES]
    parameters = [torch.nn.Parameter(torch.zeros(array.shape, dtype=torch.float64)) for array in drawn]
    for parameter, array in zip(parameters, drawn, strict=True):
        parameter.grad = torch.tensor(array)
    torch.nn.utils.clip_grad_norm_(parameters, 2.0)
    ours = get_ops("numpy").clip_global_norm(drawn, 2.0)
    for result, parameter in zip(ours, parameters, strict=True):
        np.testing.assert_allclose(result, parameter.grad.numpy(), rtol=1e-6)  # torch adds 1e-6 to the norm


def test_global_norm_of_extreme_gradients(backend: Subject) -> None:
    for scale in (1e30, 1e-30):
        arrays = [backend.array(np.full(SHAPE, scale, "float32")), backend.array(np.full(2, scale, "float32"))]
        clipped = backend.ops.clip_global_norm(arrays, scale)
        norm = np.sqrt(sum(np.square(backend.numpy(each), dtype="float64").sum() for each in clipped))
        assert norm == pytest.approx(scale, rel=1e-5)
    nothing = [backend.array(np.zeros(SHAPE)), backend.array(np.zeros((0, 2)))]
    for each in backend.ops.clip_global_norm(nothing, 1.0):
        assert not backend.numpy(each).any()
    assert backend.ops.clip_global_norm([], 1.0) == []


def test_global_norm_refuses(backend: Subject) -> None:
    ones = backend.array(np.ones(3))
    with pytest.raises(ArgumentError, match=r"^clip_global_norm: threshold must be above 0, got 0"):
        backend.ops.clip_global_norm([ones], 0.0)
    with pytest.raises(
        DTypeError, match=r"^clip_global_norm: gradients\[1\] is float32 and gradients\[0\] is float64"
    ):
        backend.ops.clip_global_norm([ones, backend.array(np.ones(3, "float32"))], 1.0)


def _sgd(W: Any, dW: Any, states: list[Any], step: int) -> Any:
    return get_ops("numpy").sgd(W, dW, 0.01)


def _momentum(nesterov: bool) -> Callable[..., Any]:
    def update(W: Any, dW: Any, states: list[Any], step: int) -> Any:
        W, states[0] = get_ops("numpy").sgd_momentum(W, dW, states[0], 0.01, 0.9, nesterov=nesterov)
        return W

    return update


def _moments(op: str, decay: float = 0.0) -> Callable[..., Any]:
    def update(W: Any, dW: Any, states: list[Any], step: int) -> Any:
        W, *states[:] = getattr(get_ops("numpy"), op)(W, dW, *states, **RATES, step=step, decay=decay)
        return W

    return update


TORCH = {"lr": RATES["learn_rate"], "betas": (RATES["beta1"], RATES["beta2"]), "eps": RATES["eps"]}


@pytest.mark.parametrize(
    ("peer", "settings", "update"),
    [
        ("SGD", {"lr": 0.01}, _sgd),
        ("SGD", {"lr": 0.01, "momentum": 0.9}, _momentum(False)),
        ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True}, _momentum(True)),
        ("Adam", TORCH, _moments("adam")),
        ("AdamW", TORCH | {"weight_decay": 0.1}, _moments("adam", decay=0.01 * 0.1)),
        ("RAdam", TORCH, _moments("radam")),
        (
            "RAdam",
            TORCH | {"weight_decay": 0.1, "decoupled_weight_decay": True},
            _moments("radam", decay=0.01 * 0.1),
        ),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adamw", "radam", "radamw"],
)
def test_as_pytorch(peer: str, settings: dict[str, Any], update: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Parameter(torch.tensor(_start()))
    optimizer = getattr(torch.optim, peer)([theirs], **settings)
    ours = _start()
    states = [np.zeros(SHAPE)] * (2 if "betas" in settings else 1)
    for step, gradient in enumerate(_gradients(), start=1):
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
        ours = update(ours, gradient, states, step)
    assert abs(ours - _start()).max() > 0.01
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-11, atol=1e-12)
