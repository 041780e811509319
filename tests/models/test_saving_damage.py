"""Whatever the bytes are, loading gives the whole model or a LoadError, and then leaves the model as it was."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.samples import shaken
from tests.models.sealed import opened, sealed
from triops import Model, Ops, get_ops, use_ops
from triops.errors import LoadError
from triops.models import Dropout, Embed, LayerNorm, Relu, Softmax, chain


def network() -> Model:
    return chain(Relu(2, 3, dropout=0.2), LayerNorm(2), Softmax(2, 2))


def loose() -> Model:
    """The same, with no dimension known."""
    return chain(Relu(), LayerNorm(), Softmax())


with use_ops("numpy"):
    SAVED = shaken(network().initialize()).to_bytes()
    FRESH = network().initialize(seed=9)
FRESH_BYTES = FRESH.to_bytes()


def loads(data: bytes, model: Model) -> bool:
    """Whether these bytes load. Where they do not, the model must be as before; where they do, it must fit."""
    before = model.to_bytes()
    try:
        model.from_bytes(data)
    except LoadError:
        assert model.to_bytes() == before
        return False
    for node in model.walk():
        sizes: dict[str, int] = {name: size for name, size in node._dims.items() if size is not None}
        for name in node.param_names:
            if node.has_param(name):
                for dim, extent in zip(node._specs[name].dims, node.get_param(name).shape, strict=True):
                    assert sizes.setdefault(str(dim), extent) == extent
    return True


def fresh() -> Model:
    return FRESH.copy()


def test_the_whole_file_loads() -> None:
    with use_ops("numpy"):
        assert loads(SAVED, fresh())
        assert loads(SAVED, loose())


def test_no_beginning_of_the_file_loads() -> None:
    model = fresh()
    assert not any(loads(SAVED[:end], model) for end in range(len(SAVED)))
    assert model.to_bytes() == FRESH_BYTES


def test_no_end_of_the_file_loads_nor_what_has_more() -> None:
    model = fresh()
    assert not any(loads(SAVED[start:], model) for start in range(1, len(SAVED)))
    assert not loads(SAVED + b"\0", model)
    assert not loads(SAVED + SAVED, model)


@pytest.mark.parametrize("flip", [0x01, 0x10, 0x80, 0xFF])
@pytest.mark.parametrize("make", [fresh, loose])
def test_every_byte_may_be_flipped(flip: int, make: Callable[[], Model]) -> None:
    refused = 0
    with use_ops("numpy"):
        for place in range(len(SAVED)):
            data = bytearray(SAVED)
            data[place] ^= flip
            refused += not loads(bytes(data), make())
    assert refused == len(SAVED)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_of_any_kind(data: st.DataObject) -> None:
    damaged = bytearray(SAVED)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged)))
        end = data.draw(st.integers(start, min(start + 8, len(damaged))))
        damaged[start:end] = data.draw(st.binary(max_size=8))
    with use_ops("numpy"):
        loads(bytes(damaged), fresh())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_at_all(data: bytes) -> None:
    assert not loads(data, FRESH)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(value=anything, data=st.data())
def test_any_value_in_any_place(value: Any, data: st.DataObject) -> None:
    """Well-formed msgpack in which one entry, at any depth, is something else."""
    saved = opened(SAVED)
    holder: Any = saved
    while True:
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        holder = inner
    holder[key] = value
    with use_ops("numpy"):
        for model in (fresh(), loose()):
            loads(sealed(saved), model)


FOREIGN = {
    "nothing": b"",
    "text": b"a model, surely\n",
    "json": b'{"magic": "triops-model", "format": 1, "nodes": []}',
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "zip": b"PK\x03\x04" + bytes(30),
    "numpy": b"\x93NUMPY\x01\0v\0",
    "pickle": pickle.dumps({"magic": "triops-model"}),
    "another msgpack": msgpack.packb({"weights": [1, 2]}),
    "a list": msgpack.packb([1, 2]),
    "a number": msgpack.packb(7),
    "an extension": msgpack.packb(msgpack.ExtType(5, b"x")),
    "a time": msgpack.packb(msgpack.Timestamp(0)),
    "deep": b"\x91" * 3000 + b"\xc0",
    "a long list announced": b"\xdd\xff\xff\xff\xff",
    "a long string announced": b"\xdb\xff\xff\xff\xff",
    "zeros": bytes(100),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_kinds_are_refused(name: str, tmp_path: Path) -> None:
    assert not loads(FOREIGN[name], FRESH)
    (tmp_path / "file").write_bytes(FOREIGN[name])
    with pytest.raises(LoadError, match=r"not a saved model|not a model that triops saved"):
        FRESH.from_disk(tmp_path / "file")


@pytest.mark.parametrize("wrong", [None, "path/to/model", 7, [1]])
def test_what_is_no_bytes_is_refused(wrong: Any) -> None:
    with pytest.raises(LoadError, match=f"a saved model is bytes, got {type(wrong).__name__}: use from_disk"):
        FRESH.from_bytes(wrong)
    assert FRESH.copy().from_bytes(memoryview(SAVED)).from_bytes(bytearray(SAVED))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FRESH.from_disk(tmp_path / "none.bin")
    with pytest.raises(LoadError, match="is a folder, not a saved model"):
        FRESH.from_disk(tmp_path)


class Trap:
    """Pickled, it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_loading_runs_nothing(tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "ran"))
    saved = opened(SAVED)
    saved["nodes"][0]["attrs"]["trap"] = trap
    saved["nodes"][0]["state"]["trap"] = trap
    loads(trap, FRESH)
    assert loads(sealed(saved), fresh())
    assert not (tmp_path / "ran").exists()
    pickle.loads(trap)
    assert (tmp_path / "ran").exists()


# -- files made by hand

LAST = 4  # the softmax


def edited(change: Callable[[dict[str, Any]], Any], node: int = LAST) -> bytes:
    saved = opened(SAVED)
    change(saved["nodes"][node])
    data: bytes = sealed(saved)
    return data


def param(**entries: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda node: node["params"]["W"].update(entries)


EDITS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no type": (lambda node: node.pop("type"), "damaged"),
    "another type": (lambda node: node.update(type="Linear"), "expected a layer of type Softmax"),
    "no dims": (lambda node: node.pop("dims"), "damaged"),
    "dims are a list": (lambda node: node.update(dims=[2, 2]), "damaged"),
    "a negative dimension": (lambda node: node["dims"].update(nO=-2), "positive integer"),
    "a dimension of zero": (lambda node: node["dims"].update(nO=0), "positive integer"),
    "a dimension that is no number": (lambda node: node["dims"].update(nO="2"), "positive integer"),
    "a fraction as a dimension": (lambda node: node["dims"].update(nO=2.0), "positive integer"),
    "a truth value as a dimension": (lambda node: node["dims"].update(nO=True), "positive integer"),
    "another dimension": (lambda node: node["dims"].update(nP=3), "dimension nP"),
    "a dimension of another size": (lambda node: node["dims"].update(nO=3), "dimension nO: expected 2"),
    "attrs are a list": (lambda node: node.update(attrs=[]), "attrs must be a map"),
    "params are a list": (lambda node: node.update(params=[]), "damaged"),
    "state is a number": (lambda node: node.update(state=7), "damaged"),
    "a parameter too few": (lambda node: node["params"].pop("b"), "expected the parameters"),
    "a parameter too many": (lambda node: node["params"].update(V=None), "expected the parameters"),
    "a number as a parameter": (lambda node: node["params"].update(W=1.0), "W is no saved array"),
    "an array without data": (lambda node: node["params"]["W"].pop("data"), "W is no saved array"),
    "an unknown dtype": (param(dtype="float31"), "unknown dtype"),
    "an object dtype": (param(dtype="object"), "unknown dtype"),
    "a list as a dtype": (param(dtype=["float32"]), "damaged"),
    "another dtype of that size": (param(dtype="float64", data=bytes(32), shape=[4]), "expected shape"),
    "another shape of that size": (param(shape=[4]), r"expected shape \(2, 2\), the saved one is \(4,\)"),
    "a negative shape": (param(shape=[-2, -2]), "which is none"),
    "a shape of fractions": (param(shape=[2.0, 2.0]), "which is none"),
    "a shape of text": (param(shape="22"), "which is none"),
    "no shape": (param(shape=None), "damaged"),
    "too little data": (param(data=bytes(12)), "needs 16 bytes, has 12"),
    "too much data": (param(data=bytes(20)), "needs 16 bytes, has 20"),
    "text as data": (param(data="x" * 16), "damaged"),
    "no data": (param(data=None), "damaged"),
    "a gigantic shape": (param(shape=[2**40, 2**40]), "needs"),
    "nothing, of gigantic rows": (param(shape=[0, 2**63], data=b""), "W"),
    "a shape of many extents": (param(shape=[2**62] * 10_000), "which is none"),
    "a damaged array in the state": (
        lambda node: node["state"].update(x={"dtype": "float32", "shape": [2**62], "data": b""}),
        "x of shape",
    ),
    "an array in the state that NumPy cannot hold": (
        lambda node: node["state"].update(x={"dtype": "float32", "shape": [0, 2**64 - 1], "data": b""}),
        "damaged",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_damaged_last_layer_leaves_the_first_ones_alone(name: str, ops: Ops) -> None:
    change, message = EDITS[name]
    model = network().initialize(seed=9)
    before = model.to_bytes()
    with pytest.raises(LoadError, match=rf"^chain > 2:softmax: .*{message}"):
        model.from_bytes(edited(change))
    assert model.to_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: saved.update(magic="other"), "not a model that triops saved"),
        (lambda saved: saved.pop("magic"), "not a model that triops saved"),
        (lambda saved: saved.update(format=2), "the saved model has format 2, this triops reads 1"),
        (lambda saved: saved.pop("format"), "has format None"),
        (lambda saved: saved.pop("nodes"), "no list of layers"),
        (lambda saved: saved.update(nodes={}), "no list of layers"),
        (lambda saved: saved["nodes"].append(7), "no list of layers"),
        (lambda saved: saved["nodes"].pop(), "has 4 layers in all, this one has 5"),
    ],
)
def test_a_damaged_frame_is_named(change: Callable[[Any], Any], message: str) -> None:
    saved = opened(SAVED)
    change(saved)
    with pytest.raises(LoadError, match=message):
        FRESH.from_bytes(sealed(saved))


def test_a_gigantic_size_is_not_allocated() -> None:
    with use_ops("numpy"):
        models = [chain(Relu(), LayerNorm(), Softmax()) for _ in range(2)]
        embed = Embed()
    huge = edited(lambda node: node["dims"].update(nO=2**40) or node["params"]["W"].update(shape=[2**40, 2]))
    rows = edited(param(shape=[2**62, 2**62]))
    table = sealed(
        {
            "magic": "triops-model",
            "format": 1,
            "nodes": [
                {
                    "type": "Embed",
                    "dims": {"nV": 2**50, "nO": 2**10},
                    "params": {"E": {"dtype": "float64", "shape": [2**50, 2**10], "data": b"\0"}},
                },
                {"type": "Dropout", "dims": {}},
            ],
        }
    )
    tracemalloc.start()
    try:
        for model, data in ((models[0], huge), (models[1], rows), (embed, table)):
            assert not loads(data, model)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_sections_may_be_missing_altogether(ops: Ops) -> None:
    """A file that was saved in parts is no damaged one."""
    saved = opened(SAVED)
    for node in saved["nodes"]:
        node.pop("state")
    assert loads(sealed(saved), network())


def test_a_state_that_no_layer_can_use_is_named_when_it_is_used() -> None:
    with use_ops(get_ops("numpy")):
        model = Dropout(0.5)
        model.set_state("seed", "seven")
        loaded = Dropout(0.5).from_bytes(model.to_bytes())
        with pytest.raises(ValueError, match=r"^dropout: .*seed must be an integer"):
            loaded.begin_update(np.ones((2, 2), dtype="float32"))
