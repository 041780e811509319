"""Nothing is left out: every public op has a row in the table, a docstring and types, and every row has the
samples that tell a right kernel from a wrong one."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_type_hints

import numpy as np
import pytest

from tests.ops.cases import CASES, OpCase, leaves
from tests.ops.cases.layouts import mixed, plain, strided, transposed
from triops import Ops
from triops.ops.activations import GRADIENT_READS
from triops.ops.formulas import FORMULAS

# These hold and move arrays, and compute nothing: tests.backends has them.
MEMORY = {"alloc", "asarray", "can_look", "check_owner", "from_bytes", "synchronize", "to_numpy"}

# These take or give lists of arrays, Ragged or Padded: tests.ops.test_sequences and tests.ops.test_updates have
# them.
LISTS = {
    "clip_global_norm",
    "flatten",
    "list2padded",
    "pad",
    "padded2list",
    "padded2ragged",
    "ragged2padded",
    "unflatten",
    "unpad",
}

PUBLIC = {
    name: method for name, method in inspect.getmembers(Ops, inspect.isfunction) if not name.startswith("_")
}
COMPUTING = sorted(PUBLIC.keys() - MEMORY - LISTS)


def test_every_op_has_a_row() -> None:
    assert set(CASES) == set(COMPUTING)


def test_every_formula_is_an_op() -> None:
    assert set(FORMULAS) <= set(COMPUTING) | LISTS
    assert len(FORMULAS) > 40


def test_memory_methods_exist() -> None:
    assert set(PUBLIC) >= MEMORY | LISTS


@pytest.mark.parametrize("op", sorted(PUBLIC))
def test_docstring_and_types(op: str) -> None:
    method = PUBLIC[op]
    assert len(inspect.getdoc(method) or "") >= 10
    hints = get_type_hints(method)
    parameters = list(inspect.signature(method).parameters)[1:]
    assert {*parameters, "return"} == set(hints)


@pytest.mark.parametrize("op", [op for op, case in CASES.items() if case.array_places()])
def test_docstring_names_its_arrays(op: str) -> None:
    names = list(inspect.signature(PUBLIC[op]).parameters)[1:]
    assert not [names[place] for place in CASES[op].array_places() if names[place] not in _documented(op)]


def _documented(op: str) -> str:
    """An op's docstring, that of its class, which may speak for all its ops, and those it refers to."""
    method = PUBLIC[op]
    doc = inspect.getdoc(method) or ""
    others = [_documented(other) for other in re.findall(r"results as `(\w+)`", doc)]
    return " ".join([doc, _CLASSES[method.__qualname__.split(".")[0]].__doc__ or "", *others])


_CLASSES = {base.__name__: base for base in Ops.__mro__}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_row_covers(case: OpCase) -> None:
    samples = case.drawn()
    assert {"typical", "empty", "extreme"} <= set(samples)
    assert case.bad_calls
    assert all(sample.dtypes for sample in samples.values())
    assert samples["typical"].dtypes[:2] == ("float64", "float32")
    if case.array_places():
        assert {sample.layout for sample in samples.values()} == {plain, transposed, strided, mixed}
        for label, sample in samples.items():
            assert sample.finite != _has_nonfinite(sample.args), label
    if any(_is_floating(arg) for arg in leaves(samples["typical"].args)):
        assert any(_has_nonfinite(sample.args) for sample in samples.values())
        largest = max(np.abs(arg).max(initial=0) for arg in leaves(samples["extreme"].args) if _is_floating(arg))
        assert largest >= 1e15 or case.op in ONLY_OF_SHARES


# Y of these is between -1 and 1, however extreme X was.
ONLY_OF_SHARES = {
    "backprop_sigmoid", "backprop_softmax", "backprop_softmax_sequences", "backprop_tanh", "label_cross_entropy",
}  # fmt: skip


def test_every_gradient_is_checked() -> None:
    backward = {op for op in COMPUTING if op.startswith("backprop_")}
    assert len(backward) >= 20
    assert backward == {op for op, case in CASES.items() if case.gradients and op in backward}


def test_gradient_reads_what_its_signature_says() -> None:
    backward = {op.removeprefix("backprop_") for op in COMPUTING if _is_activation_gradient(op)}
    assert set(GRADIENT_READS) == backward
    for name, reads in GRADIENT_READS.items():
        assert list(inspect.signature(PUBLIC[f"backprop_{name}"]).parameters)[:3] == ["self", "dY", reads]


def test_rows_draw_the_same_each_time() -> None:
    for case in CASES.values():
        first, second = case.drawn(), case.drawn()
        for label, sample in first.items():
            for one, other in zip(leaves(sample.args), leaves(second[label].args), strict=True):
                np.testing.assert_array_equal(one, other)


def _is_activation_gradient(op: str) -> bool:
    return op.startswith("backprop_") and PUBLIC[op].__module__ == "triops.ops.activations"


def _is_floating(arg: Any) -> bool:
    return isinstance(arg, np.ndarray) and arg.dtype.kind == "f"


def _has_nonfinite(args: tuple[Any, ...]) -> bool:
    return any(_is_floating(arg) and not np.isfinite(arg).all() for arg in leaves(args))
