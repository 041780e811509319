"""Saved modules load where they fit, on every backend, and change nothing where they do not."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats, other_ops
from tests.models.sealed import opened, sealed
from tests.models.wrappers.modules import CASES, nn, torch, wrapped
from triops import Model, Ops, to_numpy, use_ops
from triops.errors import LoadError, SaveError
from triops.models import Linear, PyTorchWrapper, Softmax, chain

safetensors_torch = pytest.importorskip("safetensors.torch")


def norm(width: int = 4) -> Any:
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width))


class Tied(nn.Module):
    """One matrix to go in and out by, and a bias that is a row of another tensor."""

    def __init__(self, tie: bool = True) -> None:
        super().__init__()
        self.inside, self.outside = nn.Linear(4, 4), nn.Linear(4, 4)
        if tie:
            self.outside.weight = self.inside.weight
        self.register_buffer("table", torch.randn(2, 4))
        self.register_buffer("row", self.table[0])
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("scratch", torch.zeros(3), persistent=False)

    def forward(self, X: Any) -> Any:
        return self.outside(self.inside(X)) + self.row


def trained(make: Any, ops: Ops) -> Model:
    """With weights and buffers that are not those a new one has."""
    model = wrapped(make)
    for step in range(2):
        X = floats(ops, 6, 4, seed=step)
        Y, backprop = model.begin_update(X)
        backprop(Y, sgd=lambda key, W, dW: (W - 0.1 * dW, dW))
    return model


def state(model: Any) -> dict[str, Any]:
    return {name: tensor.clone().numpy() for name, tensor in model.module.state_dict().items()}


def assert_same(state: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(state) == list(other)
    for name, array in state.items():
        np.testing.assert_array_equal(array, other[name])


def assert_differ(state: dict[str, Any], other: dict[str, Any]) -> None:
    assert any(not np.array_equal(array, other[name]) for name, array in state.items())


def payload(model: Model) -> bytes:
    """The bytes of safetensors in a saved wrapper."""
    data = opened(model.to_bytes())["nodes"][0]["params"]
    assert isinstance(data, bytes)
    return data


def with_payload(model: Model, data: Any) -> bytes:
    content = opened(model.to_bytes())
    content["nodes"][0]["params"] = data
    packed = sealed(content)
    return packed


def changed(model: Model, name: str, tensor: Any) -> bytes:
    """The saved model with another tensor of that name, or without it where it is None."""
    tensors = safetensors_torch.load(payload(model)) | {name: tensor}
    return with_payload(model, safetensors_torch.save({n: t for n, t in tensors.items() if t is not None}))


@pytest.mark.parametrize("make", [norm, Tied], ids=["buffers", "tied"])
def test_a_loaded_model_predicts_the_same_on_every_backend(ops: Ops, make: Any) -> None:
    model, X = trained(make, ops), floats(ops, 6, 4)
    data = model.to_bytes()
    for target in (ops, other_ops(ops)):
        with use_ops(target):
            loaded = wrapped(make)
            assert loaded.from_bytes(data) is loaded
            assert_same(state(loaded), state(model))
            assert_differ(state(loaded), state(wrapped(make)))
            Y = loaded.predict(target.asarray(to_numpy(X)))
            np.testing.assert_array_equal(to_numpy(Y), to_numpy(model.predict(X)))
            assert loaded.to_bytes() == data


@pytest.mark.parametrize("name", sorted(set(CASES) - {"own code"}))
def test_every_module_can_be_saved_and_loaded(name: str) -> None:
    model, other = (wrapped(CASES[name].make) for _ in range(2))
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter += 1
    assert_same(state(other.from_bytes(model.to_bytes())), state(model))


def test_the_payload_is_the_state_dict_as_safetensors(ops: Ops) -> None:
    model = trained(norm, ops)
    tensors = safetensors_torch.load(payload(model))
    assert_same({name: tensors[name].numpy() for name in state(model)}, state(model))


def test_tied_tensors_are_saved_once_and_stay_tied(ops: Ops) -> None:
    model = trained(Tied, ops)
    assert "outside.weight" not in safetensors_torch.load(payload(model))
    loaded = wrapped(Tied).from_bytes(model.to_bytes())
    assert loaded.module.outside.weight is loaded.module.inside.weight
    with pytest.raises(LoadError, match=r"lacks \['outside.weight'\]"):
        wrapped(lambda: Tied(tie=False)).from_bytes(model.to_bytes())
    with pytest.raises(LoadError, match=r"has \['outside.weight'\] more"):
        wrapped(Tied).from_bytes(wrapped(lambda: Tied(tie=False)).to_bytes())


def test_a_model_with_wrappers_goes_to_disk_and_back(ops: Ops, tmp_path: Path) -> None:
    def build() -> Model:
        return chain(Linear(4), wrapped(norm), Softmax(3))

    X = floats(ops, 6, 5)
    model = build().initialize(X, seed=3)
    model.begin_update(X)
    model.to_disk(tmp_path / "model")
    loaded = build().from_disk(tmp_path / "model")
    np.testing.assert_array_equal(to_numpy(loaded.predict(X)), to_numpy(model.predict(X)))


def test_sections_can_be_left_out(ops: Ops) -> None:
    model = trained(norm, ops).initialize(seed=9)
    for loaded in (
        wrapped(norm).from_bytes(model.to_bytes(params=False)),
        wrapped(norm).from_bytes(model.to_bytes(), params=False),
    ):
        assert_same(state(loaded), state(wrapped(norm)))
        assert loaded.get_state("seed") == model.get_state("seed")
    loaded = wrapped(norm).from_bytes(model.to_bytes(), exclude=["state"])
    assert_same(state(loaded), state(model))
    assert loaded.get_state("seed") is None


def test_loading_forgets_gradients(ops: Ops) -> None:
    model = wrapped(norm)
    model.begin_update(floats(ops, 6, 4))[1](floats(ops, 6, 4))
    model.from_bytes(wrapped(norm).to_bytes())
    assert not any(map(model.has_grad, model.param_names))


def test_an_optimizer_goes_on_with_the_tensors_that_were_loaded(ops: Ops) -> None:
    module = norm()
    model = PyTorchWrapper(module, optimizer=torch.optim.SGD(module.parameters(), 0.1))
    model.from_bytes(trained(norm, ops).to_bytes())
    before = state(model)
    model.begin_update(floats(ops, 6, 4))[1](floats(ops, 6, 4), sgd=lambda *_: None)
    assert not np.allclose(before["0.weight"], state(model)["0.weight"], atol=1e-4)


def test_a_lazy_module_is_made_by_what_is_loaded(ops: Ops) -> None:
    X = floats(ops, 6, 4)
    model = wrapped(lambda: nn.LazyLinear(3)).initialize(X, seed=1)
    loaded = wrapped(lambda: nn.LazyLinear(3)).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(to_numpy(loaded.predict(X)), to_numpy(model.predict(X)))


# -- what does not load


def refuses(model: Any, data: bytes, match: str) -> None:
    """The model raises a LoadError and stays as it was."""
    before, seed = state(model), dict(model._state)
    with pytest.raises(LoadError, match=match):
        model.from_bytes(data)
    assert_same(state(model), before)
    assert model._state == seed


@pytest.fixture
def model(ops: Ops) -> Any:
    return trained(norm, ops)


def test_another_module_is_refused(model: Any) -> None:
    refuses(wrapped(lambda: norm(5)), model.to_bytes(), r"0.weight: expected shape \(5, 4\) of float32.*\(4, 4\)")
    refuses(wrapped(lambda: nn.Linear(4, 4)), model.to_bytes(), r"lacks \['bias', 'weight'\] and has \['0.bias'")
    refuses(wrapped(norm).astype("float64"), model.to_bytes(), r"of float64, the saved one .* of float32")


def test_a_tensor_that_is_wrong_is_found_before_any_is_taken(model: Any) -> None:
    new = wrapped(norm)
    for name, tensor, match in (
        ("1.running_var", None, r"lacks \['1.running_var'\] and has \[\] more"),
        ("1.bias", torch.zeros(1), r"1.bias: expected shape \(4,\) of float32, the saved one has shape \(1,\)"),
        ("1.bias", torch.zeros(4, dtype=torch.int32), r"1.bias: .* of int32"),
        ("more", torch.zeros(4), r"lacks \[\] and has \['more'\] more"),
    ):
        refuses(new, changed(model, name, tensor), match)


def test_a_wrong_layer_further_on_leaves_this_one_as_it_was(ops: Ops) -> None:
    saved = chain(trained(norm, ops), Linear(3, 4)).initialize().to_bytes()
    new = chain(wrapped(norm), Linear(2, 4)).initialize()
    before = state(new.layers[0])
    with pytest.raises(LoadError, match="chain"):
        new.from_bytes(saved)
    assert_same(state(new.layers[0]), before)


def test_damaged_bytes_are_refused(model: Any) -> None:
    data = payload(model)
    new = wrapped(norm)
    for damaged in (
        b"",
        b"garbage",
        data[:-1],
        data + b"1",
        data[: len(data) // 2],
        data[:8],
        b"\xff" * 8 + data[8:],
    ):
        refuses(new, with_payload(model, damaged), "does not read as safetensors")
    for damaged in (None, 5, "text", [1], {"0.weight": b""}):
        refuses(new, with_payload(model, damaged), "must be bytes of safetensors")


def test_no_damage_of_the_header_gets_through_in_part(model: Any) -> None:
    """Each byte changed in turn: it loads whole, or it is refused and nothing has changed."""
    data = payload(model)
    length = 8 + int.from_bytes(data[:8], "little")
    new = wrapped(norm)
    before, seed = state(new), dict(new._state)
    for place in range(length):
        damaged = bytearray(data)
        damaged[place] ^= 0x15
        try:
            new.from_bytes(with_payload(model, bytes(damaged)))
        except LoadError:
            assert_same(state(new), before)
            assert new._state == seed
        else:
            new = wrapped(norm)


def test_a_header_may_not_point_outside(model: Any) -> None:
    data = payload(model)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["0.bias"]["data_offsets"] = [0, 2**40]
    text = json.dumps(header).encode()
    refuses(
        wrapped(norm), with_payload(model, len(text).to_bytes(8, "little") + text + data[8 + length :]), "read as"
    )


def test_nothing_is_unpickled(model: Any) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return pytest.fail, ("code ran while loading",)

    refuses(wrapped(norm), with_payload(model, pickle.dumps(Runs())), "does not read as safetensors")


def test_what_is_no_tensor_cannot_be_saved() -> None:
    class Extra(nn.Module):
        def get_extra_state(self) -> Any:
            return {"code": "anything"}

        def set_extra_state(self, state: Any) -> None:
            pass

    with pytest.raises(SaveError, match="_extra_state of the module's state_dict is no dense tensor"):
        wrapped(Extra).to_bytes()
