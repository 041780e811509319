"""Matrix products of every remainder: rows and columns that fill no tile, inner dimensions of several parts, rows
that fall on one place of a cache, and matrices that are put in panels first."""

from __future__ import annotations

import platform
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from tests.interpreter import run_python
from triops import get_ops, set_num_threads

pytest.importorskip("numba")

from triops.backends.numpy.compiled.products import multiply

# Rows, columns, terms.
SHAPES = [
    (1, 600, 600),
    (3, 17, 9000),
    (13, 33, 1000),
    (97, 48, 130),
    (100, 1040, 40),
    (61, 30, 1024),
    (40, 1100, 512),
    (1300, 20, 50),
    (600, 150, 1030),
]


def _matrix(rows: int, columns: int, turned: bool, seed: int) -> Any:
    drawn = np.random.default_rng(seed).standard_normal((columns, rows) if turned else (rows, columns))
    return drawn.astype("float32")


@pytest.mark.parametrize("turn_B", [False, True])
@pytest.mark.parametrize("turn_A", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_product_is_that_of_float64_on_any_number_of_threads(
    shape: tuple[int, int, int], turn_A: bool, turn_B: bool
) -> None:
    rows, columns, terms = shape
    A, B = _matrix(rows, terms, turn_A, 0), _matrix(terms, columns, turn_B, 1)
    plain_A, plain_B = (A.T if turn_A else A).astype("float64"), (B.T if turn_B else B).astype("float64")
    with set_num_threads(2):
        on_two = multiply(A, turn_A, B, turn_B)
    with set_num_threads(1):
        on_one = multiply(A, turn_A, B, turn_B)
    np.testing.assert_array_equal(on_two, on_one)
    # What rounding each of the terms, and each of their sums, can come to.
    bound = np.abs(plain_A) @ np.abs(plain_B) * 2.0**-24 * (2 + terms**0.5)
    assert (np.abs(on_two - plain_A @ plain_B) <= bound).all()


def test_row_does_not_depend_on_the_others() -> None:
    X, W, b = _matrix(211, 300, False, 0), _matrix(100, 300, False, 1), _matrix(1, 100, False, 2)[0]
    ops = get_ops("numpy")
    whole = ops.affine(X, W, b)
    for first in (0, 5, 90):
        np.testing.assert_array_equal(ops.affine(X[first:], W, b), whole[first:])


def test_nan_and_infinity_stay_in_their_rows_and_columns() -> None:
    X, W = np.ones((70, 130), "float32"), np.ones((90, 130), "float32")
    X[69, 0], W[89, 129] = np.nan, np.inf
    Y = get_ops("numpy").gemm(X, W, trans2=True)
    assert np.isnan(Y[69]).all()
    assert np.isinf(Y[:69, 89]).all()
    assert (Y[:69, :89] == 130).all()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="tiles are named by their CPU here")
def test_narrow_registers_give_the_same(tmp_path: Path) -> None:
    code = """
    import numpy as np
    from triops.backends.numpy.compiled.products import multiply
    from triops.backends.numpy.compiled.tiles import NARROW
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((101, 530), "float32"), rng.standard_normal((530, 39), "float32")
    for turn_A, turn_B in ((0, 0), (0, 1), (1, 0), (1, 1)):
        given = np.ascontiguousarray(A.T if turn_A else A), np.ascontiguousarray(B.T if turn_B else B)
        assert np.allclose(multiply(given[0], bool(turn_A), given[1], bool(turn_B)), A @ B, atol=1e-4)
    print(NARROW)
    """
    features = "+sse4.2,+avx,+avx2,+fma,+f16c,+bmi,+bmi2"
    said = run_python(
        dedent(code),
        NUMBA_CPU_NAME="haswell",
        NUMBA_CPU_FEATURES=features,
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert said == "True"
