"""Ragged and Padded go into JAX's compiled functions, and come out of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.subject import ops_or_skip
from triops import Padded, Ragged


def _samples() -> tuple[Any, Ragged, Padded]:
    ops = ops_or_skip("jax")
    ragged = Ragged(ops.asarray(np.arange(12.0).reshape(6, 2)), ops.asarray(np.array([2, 0, 4])))
    return ops, ragged, ops.ragged2padded(ragged)


def test_compiled_functions_take_and_give_sequences() -> None:
    ops, ragged, padded = _samples()
    jax = pytest.importorskip("jax")
    compiled = []

    @jax.jit
    def twice(sequences: Any) -> Any:
        compiled.append(type(sequences))
        return type(sequences)(2 * sequences.data, *jax.tree_util.tree_leaves(sequences)[1:])

    for sequences in (ragged, padded):
        result = twice(sequences)
        assert type(result) is type(sequences)
        np.testing.assert_array_equal(result.data, 2 * sequences.data)
        np.testing.assert_array_equal(result.lengths, sequences.lengths)
    twice(Ragged(ragged.data, ops.asarray(np.array([1, 2, 3]))))
    assert compiled == [Ragged, Padded], "lengths are data, and compile nothing anew"


def test_sequences_are_trees_with_named_parts() -> None:
    _, ragged, padded = _samples()
    jax = pytest.importorskip("jax")
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path([ragged, padded])]
    assert names == [
        "[0].data",
        "[0].lengths",
        *(f"[1].{n}" for n in ("data", "size_at_t", "lengths", "indices")),
    ]
    shapes = jax.eval_shape(lambda x: x, padded)
    assert shapes.data.shape == padded.data.shape
    nothing = jax.tree_util.tree_map(lambda x: None, ragged)
    assert (nothing.data, nothing.lengths) == (None, None)


def test_gradients_by_jax_of_ragged_data() -> None:
    ops, ragged, _ = _samples()
    jax = pytest.importorskip("jax")

    def loss(data: Any) -> Any:
        return (ops.reduce_mean(data, ragged.lengths) ** 2).sum()

    means = ops.reduce_mean(ragged.data, ragged.lengths)
    expected = ops.backprop_reduce_mean(2 * means, ragged.lengths, 6)
    np.testing.assert_allclose(jax.grad(loss)(ragged.data), expected, rtol=1e-6)
