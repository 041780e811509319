"""NumPy's own subclasses of arrays: those that compute otherwise are refused, the others taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triops import get_ops
from triops.errors import DTypeError
from triops.models import CategoricalCrossentropy, Relu

ONES = np.ones((3, 3), "float32")


@pytest.mark.parametrize("kind", [np.matrix, np.ma.MaskedArray])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_computes_otherwise_is_refused(kind: Any, dtype: str) -> None:
    ops, odd = get_ops("numpy"), ONES.astype(dtype).view(kind)
    calls = {
        "mish: X": lambda: ops.mish(odd),
        "gemm: X": lambda: ops.gemm(odd, odd),
        "begin_update: X": lambda: Relu(2, 3).initialize().predict(odd),
        "CategoricalCrossentropy: truths": lambda: CategoricalCrossentropy()(ONES.astype(dtype), odd),
    }
    for where, call in calls.items():
        with pytest.raises(
            DTypeError, match=rf"{where} must be an array of .*, got {type(odd).__name__}: convert"
        ):
            call()
    assert type(ops.asarray(odd)) is np.ndarray


def test_others_are_arrays(tmp_path: Path) -> None:
    class Own(np.ndarray):
        pass

    ops = get_ops("numpy")
    mapped = np.memmap(tmp_path / "ones", "float32", "w+", shape=ONES.shape)
    mapped[:] = ONES
    for array in (ONES.view(Own), mapped):
        np.testing.assert_array_equal(ops.mish(array), ops.mish(ONES))
        np.testing.assert_array_equal(ops.gemm(array, array), 3.0)
