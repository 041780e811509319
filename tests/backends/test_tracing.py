"""Ops inside a program that JAX is tracing: the same checks, the same results, and no look at a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.cases import CASES, OpCase, leaves, mapped
from tests.subject import ops_or_skip
from triops import Ops, ops_of
from triops.errors import ArgumentError, ShapeError


@pytest.fixture(name="jax_ops")
def jax_ops_or_skip() -> Ops:
    return ops_or_skip("jax")


@pytest.mark.parametrize(
    "case", [case for case in CASES.values() if case.array_places()], ids=lambda case: case.op
)
def test_traced_as_eager(case: OpCase, jax_ops: Ops) -> None:
    import jax

    sample = case.drawn()["typical"]
    args = list(sample.args)
    places = [
        place for place, arg in enumerate(args) if any(isinstance(leaf, np.ndarray) for leaf in leaves(arg))
    ]

    def compute(arrays: list[Any]) -> Any:
        for place, array in zip(places, arrays, strict=True):
            assert all(ops_of(leaf) is jax_ops for leaf in leaves(array))
            args[place] = array
        return getattr(jax_ops, case.op)(*args, **sample.settings)

    arrays = [mapped(jax_ops.asarray, args[place]) for place in places]
    eager, traced = jax.tree.leaves(compute(arrays)), jax.tree.leaves(jax.jit(compute)(arrays))
    assert len(eager) == len(traced) > 0
    for one, other in zip(eager, traced, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(jax_ops.to_numpy(other), jax_ops.to_numpy(one), rtol=1e-5, atol=1e-6)


def test_checks_hold_while_tracing(jax_ops: Ops) -> None:
    import jax

    with pytest.raises(ShapeError, match="must be matrices that share their inner dimension"):
        jax.jit(jax_ops.gemm)(jax_ops.alloc((2, 3)), jax_ops.alloc((2, 3)))


def test_a_traced_index_out_of_range_gives_nan(jax_ops: Ops) -> None:
    """There is no value to check, and a row of another id would be a silent error."""
    import jax

    rows = jax.jit(jax_ops.gather)(jax_ops.alloc((3, 2)), jax_ops.asarray([0, 3]))
    np.testing.assert_array_equal(jax_ops.to_numpy(rows), [[0.0, 0.0], [np.nan, np.nan]])


def test_traced_lengths_that_do_not_fit_give_nan(jax_ops: Ops) -> None:
    import jax

    X = jax_ops.asarray([[1.0], [2.0], [3.0]])
    for name, sums in (("reduce_sum", [0.0, 3.0, np.nan]), ("reduce_last", [np.nan, 2.0, np.nan])):
        result = jax.tree.leaves(jax.jit(getattr(jax_ops, name))(X, jax_ops.asarray([0, 2, 2])))[0]
        np.testing.assert_array_equal(jax_ops.to_numpy(result)[:, 0], sums)


@pytest.mark.parametrize(("lengths", "longest"), [([1, 1], 2), ([3, 0], 2)])
def test_traced_attention_that_does_not_fit_gives_nan(lengths: list[int], longest: int, jax_ops: Ops) -> None:
    import jax

    X = jax_ops.alloc((3, 1, 2))
    attend = jax.jit(lambda lengths: jax_ops.attention(X, X, X, lengths, longest=longest)[0])
    assert not np.isnan(jax_ops.to_numpy(attend(jax_ops.asarray([1, 2])))).any()
    assert np.isnan(jax_ops.to_numpy(attend(jax_ops.asarray(lengths)))).all()


def test_traced_attention_needs_the_longest(jax_ops: Ops) -> None:
    import jax

    X = jax_ops.alloc((3, 1, 2))
    with pytest.raises(ArgumentError, match="attention: longest must be given while compiling"):
        jax.jit(lambda lengths: jax_ops.attention(X, X, X, lengths))(jax_ops.asarray([3]))


def test_traced_softmax_of_rows_past_the_sequences(jax_ops: Ops) -> None:
    import jax

    X = jax_ops.alloc((3, 1))
    for lengths, shares in (([0, 2], [0.5, 0.5, 0.0]), ([1, 3], [1.0, np.nan, np.nan])):
        Y = jax.jit(jax_ops.softmax_sequences)(X, jax_ops.asarray(lengths))
        np.testing.assert_array_equal(jax_ops.to_numpy(Y)[:, 0], shares)


def test_a_traced_gradient_needs_its_rows(jax_ops: Ops) -> None:
    import jax

    with pytest.raises(ArgumentError, match="backprop_reduce_sum: rows must be given while compiling"):
        jax.jit(jax_ops.backprop_reduce_sum)(jax_ops.alloc((1, 2)), jax_ops.asarray([3]))
