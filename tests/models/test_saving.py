"""What is saved comes back: as bytes, on disk, on another backend, in parts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from tests.models.samples import NI, NO, N, floats, ids, other_ops, params_of, shaken
from triops import Model, Ops, to_numpy, use_ops
from triops.errors import ArgumentError, LoadError, SaveError, UninitializedError
from triops.models import (
    SGD,
    Dropout,
    Embed,
    LayerNorm,
    Linear,
    Maxout,
    Relu,
    ReluK,
    Softmax,
    chain,
    concatenate,
    noop,
    residual,
)


def network(nI: int | None = None, nO: int | None = None) -> Model:
    return chain(
        Maxout(NO, nI, normalize=True, dropout=0.1),
        residual(Relu()),
        concatenate(ReluK(2, k=3.0), Linear(2)),
        Softmax(nO),
    )


def trained(ops: Ops) -> Model:
    model = shaken(network().initialize(floats(ops, N, NI), floats(ops, N, 3)))
    for _ in range(2):
        model.begin_update(floats(ops, N, NI), drop=0.2)[1](floats(ops, N, 3), sgd=SGD(0.1))
    return model


def assert_same(model: Model, other: Model) -> None:
    for a, b in zip(params_of(model), params_of(other), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_bytes_come_back_into_a_model_that_knows_no_dimension(ops: Ops) -> None:
    model = trained(ops)
    loaded = network().from_bytes(model.to_bytes())
    assert_same(model, loaded)
    X = floats(ops, N, NI)
    np.testing.assert_allclose(to_numpy(loaded.predict(X)), to_numpy(model.predict(X)), rtol=1e-6)
    assert loaded.get_dim("nI") == NI
    assert repr(loaded.layers) == repr(model.layers)


def test_bytes_come_back_into_a_model_that_is_in_use(ops: Ops) -> None:
    model, other = trained(ops), network().initialize(floats(ops, N, NI), floats(ops, N, 3), seed=5)
    other.begin_update(floats(ops, N, NI))[1](floats(ops, N, 3))
    assert other.from_bytes(model.to_bytes()) is other
    assert_same(model, other)
    assert not any(node.has_grad(name) for node in other.walk() for name in node.param_names)


@pytest.mark.parametrize("as_path", [str, Path])
def test_files_come_back(as_path: Any, ops: Ops, tmp_path: Path) -> None:
    model, path = trained(ops), as_path(tmp_path / "model.bin")
    model.to_disk(path)
    assert_same(model, network().from_disk(path))
    assert [file.name for file in tmp_path.iterdir()] == ["model.bin"]
    assert (tmp_path / "model.bin").read_bytes() == model.to_bytes()


def test_a_relative_path_is_one(ops: Ops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = trained(ops)
    model.to_disk("model.bin")
    assert_same(model, network().from_disk("model.bin"))


def test_a_saved_model_loads_on_another_backend(ops: Ops) -> None:
    model = trained(ops)
    data = model.to_bytes()
    with use_ops(other_ops(ops)) as elsewhere:
        loaded = network().from_bytes(data)
        there = to_numpy(loaded.predict(floats(elsewhere, N, NI)))
    np.testing.assert_allclose(there, to_numpy(model.predict(floats(ops, N, NI))), rtol=1e-6, atol=1e-6)
    assert loaded.to_bytes() == data
    assert_same(network().from_bytes(loaded.to_bytes()), model)


def test_bytes_are_stable(ops: Ops) -> None:
    data = trained(ops).to_bytes()
    once = network().from_bytes(data).to_bytes()
    assert once == data
    assert network().from_bytes(once).to_bytes() == data


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_widths_come_back(dtype: str, ops: Ops) -> None:
    model = trained(ops).astype(dtype)
    loaded = network().from_bytes(model.to_bytes())
    assert {w.dtype.name for w in params_of(loaded)} == {dtype}
    assert_same(model, loaded)


def test_a_width_that_msgpack_files_do_not_have_is_named() -> None:
    pytest.importorskip("jax")
    with use_ops("jax"):
        model = chain(Linear(3, NI)).initialize().astype("bfloat16")
    with pytest.raises(SaveError, match=r"linear: W has dtype bfloat16.*astype\('float32'\)"):
        model.to_bytes()


def test_a_loaded_model_trains_on(ops: Ops) -> None:
    model = trained(ops)
    loaded = network().from_bytes(model.to_bytes())
    for each in (model, loaded):
        each.begin_update(floats(ops, N, NI), drop=0.2)[1](floats(ops, N, 3), sgd=SGD(0.1))
    assert_same(model, loaded)


@pytest.mark.parametrize("change", [np.asfortranarray, lambda W: W.astype(">f4"), lambda W: W.T.copy().T])
def test_the_layout_in_memory_is_not_saved(change: Any) -> None:
    with use_ops("numpy"):
        model, loaded = Linear(3, NI).initialize(), Linear(3, NI)
    data = model.to_bytes()
    model.set_param("W", change(model.get_param("W")))
    assert model.to_bytes() == data
    np.testing.assert_array_equal(loaded.from_bytes(data).get_param("W"), model.get_param("W"))


def test_numpys_loaded_weights_can_be_written_to() -> None:
    with use_ops("numpy"):
        model = Linear(3, NI).from_bytes(Linear(3, NI).initialize().to_bytes())
    model.get_param("W")[:] = 0


def test_a_model_without_values_comes_back_without(ops: Ops) -> None:
    loaded = chain(Relu(NO, NI), Softmax(3)).from_bytes(chain(Relu(NO, NI), Softmax(3)).to_bytes())
    with pytest.raises(UninitializedError):
        loaded.layers[0].get_param("W")
    initialized = chain(Relu(NO, NI), Softmax(3, NO)).initialize()
    assert initialized.from_bytes(chain(Relu(NO, NI), Softmax(3, NO)).to_bytes()).layers[0].has_param("W") is None


def test_embeddings_and_layers_without_parameters_come_back(ops: Ops) -> None:
    def make() -> Model:
        linear = Linear(2)
        embed = Embed(NI, 7, column=0, dropout=0.2)
        return chain(embed, LayerNorm(), Dropout(0.3), noop(linear, Dropout()), linear)

    model = shaken(make().initialize(ids(ops, N, 2, below=7)))
    loaded = make().from_bytes(model.to_bytes())
    X = ids(ops, N, 2, below=7)
    np.testing.assert_array_equal(to_numpy(loaded.predict(X)), to_numpy(model.predict(X)))


# -- state and settings


def test_state_is_saved(ops: Ops) -> None:
    model = Dropout(0.5).initialize(seed=3)
    model.begin_update(floats(ops, N, NI))
    model.set_state("text", "Wörter")
    model.set_state("nested", {"list": [1, 2.5, None, True], "map": {"a": b"bytes"}})
    model.set_state("array", floats(ops, 2, 3))
    model.set_state("counts", ids(ops, 3, below=9))
    loaded = Dropout(0.5).from_bytes(model.to_bytes())
    assert loaded.get_state("drawn") == 1
    assert loaded.get_state("seed") == model.get_state("seed")
    assert loaded.get_state("text") == "Wörter"
    assert loaded.get_state("nested") == model.get_state("nested")
    assert loaded.get_state("missing", 7) == 7
    for name in ("array", "counts"):
        value = loaded.get_state(name)
        assert ops.backend.owns(value)
        assert value.dtype == model.get_state(name).dtype
        np.testing.assert_array_equal(to_numpy(value), to_numpy(model.get_state(name)))
    assert other_ops(ops).backend.owns(loaded.to(other_ops(ops)).get_state("array"))


def test_attrs_are_saved_and_win_over_those_of_the_new_model(ops: Ops) -> None:
    model = ReluK(NO, NI, k=2.0).initialize()
    settings = {"labels": ["a", "b"], "ids": {0: "a", 1: "b"}, "rate": 0.5, "none": None, "deep": {"x": [[1]]}}
    model.attrs.update(settings, not_a_number=math.inf)
    loaded = ReluK(NO, NI, k=6.0).from_bytes(model.to_bytes())
    assert loaded.attrs == {"n": 2.0, **settings, "not_a_number": math.inf}


@pytest.mark.parametrize(
    "unsaveable", [print, {1, 2}, object(), np.ones(2), np.float32(1), 2**64, -(2**64), 1j, "\ud800", Path()]
)
def test_a_setting_that_cannot_be_saved_is_named_with_its_layer(unsaveable: Any, ops: Ops) -> None:
    model = chain(Relu(NO, NI), residual(Relu(NO, NO))).initialize()
    model.layers[1].layers[0].attrs["setting"] = [unsaveable]
    with pytest.raises(SaveError, match=r"^chain > 1:residual > 0:relu: attrs or state hold something"):
        model.to_bytes()


def test_a_list_that_holds_itself_cannot_be_saved(ops: Ops) -> None:
    model = Relu(NO, NI)
    model.attrs["endless"] = endless = []
    endless.append(endless)
    with pytest.raises(SaveError, match=r"^relu: attrs or state"):
        model.to_bytes()


# -- parts


@pytest.mark.parametrize("exclude", [{"state": False}, {"exclude": ["state"]}, {"exclude": "state"}])
@pytest.mark.parametrize("when", ["saving", "loading"])
def test_sections_can_be_left_out(exclude: Any, when: str, ops: Ops) -> None:
    model = Dropout(0.5).initialize(seed=3)
    model.attrs["dropout_rate"] = 0.25
    saving, loading = (exclude, {}) if when == "saving" else ({}, exclude)
    loaded = Dropout(0.5).initialize(seed=4).from_bytes(model.to_bytes(**saving), **loading)
    assert loaded.get_state("seed") == Dropout().initialize(seed=4).get_state("seed")
    assert loaded.attrs["dropout_rate"] == 0.25


def test_settings_or_parameters_can_be_left_out(ops: Ops, tmp_path: Path) -> None:
    model = shaken(ReluK(NO, NI, k=2.0).initialize())
    model.to_disk(tmp_path / "model.bin", attrs=False)
    assert ReluK(NO, NI, k=6.0).from_disk(tmp_path / "model.bin").attrs["n"] == 6.0
    other = ReluK(NO, NI, k=6.0).initialize()
    before = params_of(other)
    other.from_bytes(model.to_bytes(), exclude=["params"])
    assert other.attrs["n"] == 2.0
    for a, b in zip(before, params_of(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(model.to_bytes(exclude=["params", "state", "attrs"])) < len(model.to_bytes(params=False))


def test_a_section_that_is_asked_for_is_in(ops: Ops) -> None:
    model = trained(ops)
    assert model.to_bytes(params=True, state=True, attrs=True) == model.to_bytes()
    assert model.to_bytes(state=True, attrs=False) == model.to_bytes(exclude=["attrs"])


@pytest.mark.parametrize("unknown", [{"weights": False}, {"weights": True}, {"exclude": ["state", "weights"]}])
def test_a_section_that_does_not_exist_is_named(unknown: Any, ops: Ops) -> None:
    model = Linear(3, NI).initialize()
    with pytest.raises(
        ArgumentError, match="cannot exclude weights: a model's sections are params, state, attrs"
    ):
        model.to_bytes(**unknown)
    with pytest.raises(ArgumentError, match="cannot exclude weights"):
        model.from_bytes(model.to_bytes(), **unknown)


# -- what does not fit


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: chain(Relu(NO + 1, NI), Softmax(3)),
            r"chain > 0:relu: dimension nO: expected 5, the saved one is 4",
        ),
        (lambda: chain(Relu(NO, NI), Softmax(2)), r"dimension nO: expected 2, the saved one is 3"),
        (lambda: chain(Maxout(NO, NI), Softmax(3)), r"chain > 0:maxout: expected a layer of type Maxout.*Relu"),
        (
            lambda: concatenate(Relu(NO, NI), Linear(3)),
            r"concatenate: expected a layer of type concatenate.*chain",
        ),
        (lambda: chain(Relu(NO, NI)), r"chain: the saved model has 4 layers in all, this one has 3"),
        (lambda: chain(Relu(NO, NI, normalize=True), Softmax(3)), r"has 4 layers in all, this one has 5"),
        (lambda: Linear(3, NI), r"linear: the saved model has 4 layers in all, this one has 1"),
    ],
)
def test_another_model_is_refused_and_left_as_it_was(other: Any, message: str, ops: Ops) -> None:
    data = chain(Relu(NO, NI), Softmax(3)).initialize(floats(ops, N, NI)).to_bytes()
    model = other()
    before = model.to_bytes()
    with pytest.raises(LoadError, match=message):
        model.from_bytes(data)
    assert model.to_bytes() == before


def test_a_shape_without_a_named_dimension_is_checked(ops: Ops) -> None:
    class Fixed(Model):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.add_param("W", (2, width))

    with pytest.raises(LoadError, match=r"fixed: W: expected shape \(2, 3\), the saved one is \(2, 4\)"):
        Fixed(3).from_bytes(Fixed(4).initialize().to_bytes())


def test_the_file_is_plain_msgpack(ops: Ops) -> None:
    """Nothing but maps, lists, numbers, strings and bytes: no pickle, and no extension types."""

    def refuse(code: int, data: bytes) -> Any:
        raise AssertionError(f"extension type {code}")

    data = trained(ops).to_bytes()
    saved = msgpack.unpackb(data[:-4], ext_hook=refuse, strict_map_key=True)
    assert saved["magic"] == "triops-model"
    assert {type(node) for node in saved["nodes"]} == {dict}
    assert b"\x80\x04" not in data[:2]
    assert not any(word in data for word in (b"__reduce__", b"numpy", b"builtins"))
