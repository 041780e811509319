"""Which memory arrays and tensors share, and that nobody's is written to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.interpreter import run_python
from tests.models.samples import floats, ids, read_only
from tests.models.wrappers.modules import CASES, Own, nn, torch, wrapped
from triops import Ops, get_ops, to_numpy
from triops.errors import DTypeError

SHAPE = (6, 4)


def address(array: Any) -> int:
    """Where the data of an array or tensor lies."""
    if isinstance(array, torch.Tensor):
        return int(array.data_ptr())
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.unsafe_buffer_pointer())


class Writes(nn.Module):
    """Changes its input, under names of its own."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, X: Any) -> Any:
        if self.how == "method":
            X.mul_(3.0)
        elif self.how == "operator":
            X += 1.0
        elif self.how == "data":
            X.data.zero_()
        elif self.how == "item":
            X[0] = 7
        elif self.how == "not recorded":
            with torch.no_grad():
                X.zero_()
        return X * self.weight


IN_PLACE = {
    "relu": lambda: nn.ReLU(inplace=True),
    "dropout": lambda: nn.Dropout(0.5, inplace=True),
    "view first": lambda: nn.Sequential(nn.Flatten(), nn.Identity(), nn.Hardtanh(inplace=True)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.ELU(inplace=True)), nn.Linear(4, 2)),
    **{how: lambda how=how: Writes(how) for how in ("method", "operator", "data", "item", "not recorded")},
}


def hooked() -> Any:
    module = nn.Identity()
    module.register_forward_pre_hook(lambda module, args: args[0].zero_())
    return module


def patched() -> Any:
    module = nn.Identity()
    module.forward = lambda X: X.zero_()
    return module


IN_PLACE |= {"hook": hooked, "replaced forward": patched}


@pytest.mark.parametrize("make", IN_PLACE.values(), ids=IN_PLACE)
@pytest.mark.parametrize("drop", [0.0, 0.3, None])
def test_modules_that_work_in_place_change_no_array(ops: Ops, make: Any, drop: float | None) -> None:
    model, X = wrapped(make), floats(ops, *SHAPE)
    before = to_numpy(X).copy()
    Y, backprop = model.begin_update(X, drop)
    np.testing.assert_array_equal(to_numpy(X), before)
    if drop is not None:
        dY = floats(ops, *Y.shape, seed=2)
        dY_before, Y_before = to_numpy(dY).copy(), to_numpy(Y).copy()
        backprop(dY)
        np.testing.assert_array_equal(to_numpy(dY), dY_before)
        np.testing.assert_array_equal(to_numpy(Y), Y_before)
        np.testing.assert_array_equal(to_numpy(X), before)


def test_an_integer_input_is_not_changed(ops: Ops) -> None:
    X = ids(ops, 6, below=9)
    before = to_numpy(X).copy()
    for drop in (0.0, None):
        wrapped(lambda: Own(lambda X, p: X.clamp_(max=2) * p, (6,))).begin_update(X, drop)
    np.testing.assert_array_equal(to_numpy(X), before)


def test_a_backward_pass_that_works_in_place_changes_no_array(ops: Ops) -> None:
    class Halving(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, X: Any) -> Any:
            return X.clone()

        @staticmethod
        def backward(ctx: Any, dY: Any) -> Any:
            return dY.div_(2)

    dY = floats(ops, 2, 3)
    before = to_numpy(dY).copy()
    dX = wrapped(lambda: Own(lambda X, p: Halving.apply(X))).begin_update(floats(ops, 2, 3))[1](dY)
    np.testing.assert_array_equal(to_numpy(dY), before)
    np.testing.assert_array_equal(to_numpy(dX), before / 2)


def test_torchs_own_layers_share_the_memory_of_the_input(ops: Ops) -> None:
    seen = []
    model, X = wrapped(nn.Identity), floats(ops, *SHAPE)
    for share in (None, True, False):
        model.share = share
        for drop in (0.0, None):
            Y, _ = model.begin_update(X, drop)
            seen.append(address(Y) == address(X))
    assert seen == [True] * 4 + [False] * 2


def test_the_output_and_the_gradient_lie_where_torch_made_them(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    model = wrapped(lambda: nn.Linear(4, 3))
    forward = nn.functional.linear
    monkeypatch.setattr(
        nn.functional, "linear", lambda *args: made.append((forward(*args), args[0])) or made[-1][0]
    )
    X = floats(ops, *SHAPE)
    Y, backprop = model.begin_update(X)
    dX = backprop(floats(ops, 6, 3))
    [(output, argument)] = made
    assert address(argument) == address(X)
    assert address(output) == address(Y)
    assert address(argument.grad) == address(dX)


@pytest.mark.parametrize("share", [None, True, False])
def test_an_output_outlives_what_the_module_does_later(ops: Ops, share: bool | None) -> None:
    """Unless one has promised that the module does nothing of the kind."""

    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.zeros(6, 4))

        def forward(self, X: Any) -> Any:
            self.total += X.detach()
            return self.total

    model, X = wrapped(Keeps, share=share), floats(ops, *SHAPE)
    first = model.predict(X)
    before = to_numpy(first).copy()
    model.predict(X)
    assert np.array_equal(to_numpy(first), before) is (share is not True)


def layouts() -> dict[str, Any]:
    """Arrays of one value in every way that NumPy can lay them out."""
    X = np.arange(24, dtype="float32").reshape(SHAPE)
    framed = np.frombuffer(b"0" + X.tobytes(), dtype="float32", offset=1).reshape(SHAPE)
    fields = np.zeros(SHAPE, dtype=[("tag", "i1"), ("value", "f4")])
    fields["value"] = X
    return {
        "plain": X,
        "read-only": read_only(X),
        "transposed": np.asfortranarray(X),
        "reversed": X[::-1].copy()[::-1],
        "reversed columns": X[:, ::-1].copy()[:, ::-1],
        "every other": np.repeat(X, 2, axis=1)[:, ::2],
        "foreign byte order": X.astype(">f4"),
        "not aligned": framed,
        "field of a record": fields["value"],
    }


@pytest.mark.parametrize("layout", layouts())
def test_numpy_arrays_of_every_layout_go_in(layout: str) -> None:
    array = layouts()[layout]
    plain = np.array(array, dtype="float32", order="C")
    model = wrapped(lambda: nn.Linear(4, 4), ops=get_ops("numpy"))
    Y, backprop = model.begin_update(array)
    expected_Y, expected_backprop = model.begin_update(plain)
    np.testing.assert_allclose(Y, expected_Y, rtol=1e-6)
    dY = array.astype("float32", copy=False) if array.dtype.isnative else plain
    np.testing.assert_allclose(backprop(dY), expected_backprop(plain), rtol=1e-6)


def test_a_negative_stride_of_an_axis_of_one_goes_in() -> None:
    """NumPy calls it contiguous; to torch it would end the process."""
    row = np.arange(24, dtype="float32").reshape(SHAPE)[::-1][:1]
    assert row.strides[0] < 0
    np.testing.assert_array_equal(wrapped(nn.Identity, ops=get_ops("numpy")).predict(row), row)


def test_read_only_arrays_are_copied(recwarn: pytest.WarningsRecorder) -> None:
    X = read_only(np.ones(SHAPE, dtype="float32"))
    Y = wrapped(nn.Identity, ops=get_ops("numpy")).predict(X)
    assert address(Y) != address(X)
    assert not recwarn.list


def test_scalars_and_empty_arrays_go_in(ops: Ops) -> None:
    model = wrapped(nn.Tanh)
    for X in (floats(ops, 4)[0], floats(ops, 4)[:0], floats(ops, 1, 2).sum()):
        Y, backprop = model.begin_update(X)
        assert (Y.shape, backprop(Y).shape) == (X.shape, X.shape)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint8", "int64", "bool"])
def test_every_dtype_stays_what_it_is(ops: Ops, dtype: str) -> None:
    X = ops.asarray(np.array([[0, 1], [1, 0]], dtype=dtype), dtype=dtype)
    Y = wrapped(lambda: nn.Sequential(nn.Identity(), nn.Flatten(0))).predict(X)
    assert str(Y.dtype) == dtype
    np.testing.assert_array_equal(to_numpy(Y), [0, 1, 1, 0])


def test_bfloat16_is_for_those_who_have_it(ops: Ops) -> None:
    model = wrapped(lambda: nn.Linear(4, 3).to(torch.bfloat16))
    if ops.name == "numpy":
        with pytest.raises(DTypeError, match=r"NumPy has no dtype for torch.bfloat16: end the module"):
            model.get_param("weight")
        return
    Y, backprop = model.begin_update(floats(ops, *SHAPE, dtype="bfloat16"))
    assert {str(Y.dtype), str(backprop(Y).dtype), str(model.get_grad("bias").dtype)} == {"bfloat16"}


def test_a_dtype_that_torch_has_not_is_refused() -> None:
    with pytest.raises(DTypeError, match="torch has no dtype for NumPy's float128"):
        wrapped(nn.Identity, ops=get_ops("numpy")).predict(np.ones(3, dtype="longdouble"))


def test_parameters_and_gradients_are_copies(ops: Ops) -> None:
    model = wrapped(lambda: nn.Linear(4, 3))
    model.begin_update(floats(ops, *SHAPE))[1](floats(ops, 6, 3))
    value, gradient = floats(ops, 3, seed=4), floats(ops, 3, seed=5)
    model.set_param("bias", value)
    model.set_grad("bias", gradient)
    arrays = [value, gradient, model.get_param("bias"), model.get_grad("bias")]
    kept = [to_numpy(array).copy() for array in arrays]
    with torch.no_grad():
        model.module.bias.zero_()
        model.module.bias.grad.zero_()
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(to_numpy(array), before)
    if ops.name == "numpy":
        for array in arrays:
            array[:] = 99
        assert not model.module.bias.any()
        assert not model.module.bias.grad.any()


# What torch lays into one place: the gradients of X and p; those and dY; that of p and dY.
ONE_PLACE = {
    "X and p": lambda X, p: (X.view(-1) + p.view(-1)).exp(),
    "X, p and dY": lambda X, p: X.view(-1) + p.view(-1),
    "p and dY": lambda X, p: (X + p).view(-1),
}


@pytest.mark.parametrize("function", ONE_PLACE.values(), ids=ONE_PLACE)
def test_gradients_that_come_later_do_not_change_what_was_handed_out(ops: Ops, function: Any) -> None:
    X = floats(ops, 2, 3)
    model = wrapped(lambda: Own(function), share=True)
    dY = floats(ops, 6)
    dX = model.begin_update(X)[1](dY)
    arrays = dX, model.get_grad("p"), dY
    before = [to_numpy(array).copy() for array in arrays]
    for _ in range(2):
        model.begin_update(X)[1](dY)
        nn.utils.clip_grad_norm_(model.module.parameters(), 1e-3)
    for array, was in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(to_numpy(array), was)


def test_what_an_optimizer_is_given_may_be_kept(ops: Ops) -> None:
    kept: list[Any] = []

    def keeps(key: Any, weights: Any, gradient: Any) -> tuple[Any, Any]:
        kept.extend([weights, gradient])
        return weights + 1, gradient

    model = wrapped(lambda: nn.Linear(4, 3))
    for _ in range(2):
        model.begin_update(floats(ops, *SHAPE))[1](floats(ops, 6, 3), sgd=keeps)
        copies = [to_numpy(array).copy() for array in kept]
    with torch.no_grad():
        model.module.weight.zero_()
    for array, before in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(to_numpy(array), before)


@pytest.mark.parametrize("name", CASES)
def test_no_layer_of_torch_that_shares_writes_to_what_it_gets(ops: Ops, name: str) -> None:
    """Read-only memory would be copied, so this compares."""
    model, X = wrapped(CASES[name].make), CASES[name].inputs(ops)
    before = [to_numpy(x).copy() for x in (X if isinstance(X, list) else [X])]
    for drop in (0.0, None):
        model.begin_update(X, drop)
    for x, was in zip(X if isinstance(X, list) else [X], before, strict=True):
        np.testing.assert_array_equal(to_numpy(x), was)


def test_a_forked_process_goes_on() -> None:
    """Torch's pool of threads is left behind by a fork; a child that waited for it would never end."""
    code = """
import os, time
import numpy as np, torch
from triops import use_ops
from triops.models import PyTorchWrapper
with use_ops("numpy") as ops:
    model = PyTorchWrapper(torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.Tanh()))
    X = ops.draw_normal(1, (256, 256))
def gradient():
    Y, backprop = model.begin_update(X)
    return backprop(Y)
expected = gradient()
child = os.fork()
if child == 0:
    os._exit(0 if np.allclose(gradient(), expected, atol=1e-5) else 1)
for _ in range(600):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        print(os.waitstatus_to_exitcode(status))
        break
    time.sleep(0.1)
else:
    os.kill(child, 9)
    print("hangs")
"""
    assert run_python(code) == "0"
