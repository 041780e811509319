"""Every exported layer and combinator: shapes, values, gradients, empty batches, inferred dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models.cases import CASES, NV, LayerCase
from tests.models.samples import (
    LENGTHS,
    NI,
    NO,
    N,
    floats,
    formed,
    ids,
    ops_or_skip,
    read_only,
    rows_of,
    shaken,
)
from triops import Model, Ops, check_gradient, models, to_numpy, use_ops
from triops.models.trees import map_arrays

NO_LAYERS = {
    "Model",
    "GradientCheck",
    "Loss",
    "Optimizer",
    "check_gradient",
    *("CompiledModel", "CompiledStep", "compile", "compile_step"),
    "fix_random_seed",
    *("CategoricalCrossentropy", "CosineDistance", "L2Distance", "SequenceCategoricalCrossentropy"),
    *("Adam", "AdamW", "RAdam", "SGD"),
    *(name for name in models.__all__ if name.endswith("_init")),
}

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def sample(case: LayerCase, ops: Ops, lengths: tuple[int, ...] = LENGTHS) -> Any:
    rows = sum(lengths)
    if case.takes == "ids":
        data = ids(ops, *((rows, case.columns) if case.columns else (rows,)), below=NV)
    else:
        data = floats(ops, rows, NI)
    return formed(ops, data, case.form, lengths)


def like(ops: Ops, Y: Any) -> Any:
    """Numbers in the form of Y."""
    return map_arrays(lambda y: floats(ops, *y.shape), Y)


def made(case: LayerCase) -> Model:
    """The layer with parameters that hide nothing."""
    return shaken(case.make(NO, NI).initialize())


def test_every_exported_layer_has_a_case() -> None:
    assert {case.name for case in CASES} == set(models.__all__) - NO_LAYERS


@every_case
def test_the_output_is_what_the_layer_means(case: LayerCase, ops: Ops) -> None:
    model, X = made(case), sample(case, ops)
    Y = model.predict(X)
    assert type(Y) is type(formed(ops, floats(ops, N, NI), case.gives or case.form))
    rows = rows_of(ops, Y)
    assert rows.shape == (case.rows(LENGTHS), case.nO)
    assert rows.dtype == "float32"
    wide = rows_of(ops, X).astype("float64" if case.takes == "floats" else "int64")
    np.testing.assert_allclose(rows, case.meaning(model, wide), rtol=1e-5, atol=1e-6)


@every_case
@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_the_gradients_agree_with_finite_differences(case: LayerCase, ops: Ops, drop: float) -> None:
    model = made(case)
    checks = check_gradient(model, sample(case, ops), drop=drop)
    names = [name for node in model.walk() for name in node.param_names]
    inputs = 1 if case.takes == "floats" else 0
    assert len(checks) == 2 * (len(names) + inputs)


@every_case
def test_an_empty_batch_passes_both_ways(case: LayerCase, ops: Ops) -> None:
    lengths = () if case.needs_rows else (0, 0)
    model, X = made(case), sample(case, ops, lengths)
    Y, backprop = model.begin_update(X, drop=0.3)
    known = lengths or case.form not in ("list", "padded")  # a list of no arrays has no width
    assert rows_of(ops, Y).shape == (case.rows(lengths), case.nO if known else 0)
    dX = backprop(Y)
    assert dX is None if case.takes == "ids" else rows_of(ops, dX).shape == (0, NI if known else 0)
    for node in model.walk():
        for name in node.param_names:
            gradient = to_numpy(node.get_grad(name))
            assert gradient.shape == node.get_param(name).shape
            assert not gradient.any()


@every_case
def test_dimensions_come_from_samples(case: LayerCase, ops: Ops) -> None:
    X, Y = sample(case, ops), floats(ops, case.rows(LENGTHS), case.nO)
    model = case.make()
    assert model.initialize(X, Y if case.pools else formed(ops, Y, case.gives or case.form)) is model
    assert rows_of(ops, model.predict(X)).shape == (case.rows(LENGTHS), case.nO)
    if case.sized:
        assert model.get_dim("nO") == case.nO
    assert all(size is not None for node in model.walk() for size in node._dims.values())


@every_case
def test_the_arguments_stay_as_they_were(case: LayerCase) -> None:
    """On NumPy; JAX arrays cannot be written to."""
    ops = ops_or_skip("numpy")
    with use_ops(ops):
        model = made(case)
    for node in model.walk():
        for name in node.param_names:
            node.set_param(name, read_only(node.get_param(name)))
    X = map_arrays(read_only, sample(case, ops))
    Y, backprop = model.begin_update(X, drop=0.3)
    backprop(map_arrays(read_only, like(ops, Y)))


@every_case
def test_the_gradient_is_linear_in_what_comes_back(case: LayerCase, ops: Ops) -> None:
    model = made(case)
    Y, backprop = model.begin_update(sample(case, ops))
    dY = like(ops, Y)
    once, twice = backprop(dY), backprop(map_arrays(lambda dy: 2 * dy, dY))
    if once is not None:
        np.testing.assert_allclose(rows_of(ops, twice), 2 * rows_of(ops, once), rtol=1e-5, atol=1e-6)


@every_case
def test_float64_stays_float64(case: LayerCase, ops: Ops) -> None:
    model = made(case).astype("float64")
    X = sample(case, ops)
    X = X if case.takes == "ids" else map_arrays(lambda x: ops.asarray(x, dtype="float64"), X)
    Y, backprop = model.begin_update(X, drop=0.3)
    dX = backprop(Y)
    assert rows_of(ops, Y).dtype == "float64"
    assert dX is None or rows_of(ops, dX).dtype == "float64"
    assert all(node.get_grad(name).dtype == "float64" for node in model.walk() for name in node.param_names)


@every_case
def test_repr_names_the_layer_and_its_dimensions(case: LayerCase, ops: Ops) -> None:
    model = case.make(NO, NI)
    text = repr(model)
    assert text.startswith(f"{type(model).__name__}(")
    assert text.endswith(")")
    assert all(f"{name}={size}" in text for node in model.walk() for name, size in node._dims.items())


@pytest.mark.parametrize("case", [case for case in CASES if case.sized], ids=lambda case: case.id)
def test_positional_dimensions_come_in_thincs_order(case: LayerCase, ops: Ops) -> None:
    assert case.make(case.nO, NI).initialize().get_dim("nO") == case.nO


def test_thincs_signatures(ops: Ops) -> None:
    maxout = models.Maxout(3, 4, 2)
    assert [maxout.get_dim(name) for name in ("nO", "nI", "nP")] == [3, 4, 2]
    embed = models.Embed(3, 10)
    assert [embed.get_dim(name) for name in ("nO", "nV")] == [3, 10]
    softmax = models.Softmax(3, 4)
    assert [softmax.get_dim(name) for name in ("nO", "nI")] == [3, 4]
    assert models.LayerNorm(4).get_dim("nO") == 4
    assert models.Dropout(0.2).attrs["dropout_rate"] == 0.2


def test_numpys_integers_are_dimensions(ops: Ops) -> None:
    model = models.chain(models.Relu(np.int64(3), np.int32(4)), models.Softmax(np.uint8(2), 3)).initialize()
    assert all(type(size) is int for node in model.walk() for size in node._dims.values())
    assert models.chain(models.Relu(3, 4), models.Softmax(2, 3)).from_bytes(model.to_bytes())
