"""Backward passes without the gradient of the input: the others are as with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.subject import Subject

Backward = Callable[[Any, dict[str, Any], bool], tuple[Any, ...]]

BACKWARDS: dict[str, Backward] = {
    "backprop_affine": lambda ops, given, wants: ops.backprop_affine(
        given["dY"], given["X"], given["W"], wants_dX=wants
    ),
    "backprop_affine_activation": lambda ops, given, wants: ops.backprop_affine_activation(
        given["dY"], given["X"], given["W"], given["Y"], "relu", wants_dX=wants
    ),
    "backprop_affine_maxout": lambda ops, given, wants: ops.backprop_affine_maxout(
        given["dY"], given["X"], given["W3"], given["which"], wants_dX=wants
    ),
}


@pytest.mark.parametrize("sizes", [(3, 5, 4), (0, 5, 4), (150, 60, 50)], ids=str)
@pytest.mark.parametrize("op", BACKWARDS)
def test_only_dX_is_left_out(op: str, sizes: tuple[int, int, int], backend: Subject) -> None:
    rng = np.random.default_rng(1)
    N, nI, nO = sizes
    shapes = {"dY": (N, nO), "X": (N, nI), "W": (nO, nI), "Y": (N, nO), "W3": (nO, 3, nI)}
    given = {name: backend.array(rng.normal(0, 1, shape).astype("float32")) for name, shape in shapes.items()}
    given["which"] = backend.array(rng.integers(0, 3, (N, nO)).astype("int32"))
    dX, *whole = BACKWARDS[op](backend.ops, given, True)
    nothing, *rest = BACKWARDS[op](backend.ops, given, False)
    assert dX.shape == (N, nI)
    assert nothing is None
    for ours, theirs in zip(rest, whole, strict=True):
        np.testing.assert_allclose(backend.numpy(ours), backend.numpy(theirs), rtol=1e-5, atol=1e-5)
