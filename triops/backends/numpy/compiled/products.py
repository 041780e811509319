"""Matrix products on the pool's threads, each of some rows of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.arrays import added, flat, matrix, sums
from triops.backends.numpy.compiled.blas import has_blas, sgemm, sgemm_address, sgemm_columns
from triops.backends.numpy.compiled.build import Kernel

__all__ = ["PRODUCTS", "multiply", "pays", "slices_of"]

_SMALL = 3 << 16  # multiplications, which NumPy's BLAS does on the calling thread too, in less time a call
_THRESHOLD = 1 << 20  # multiplications from which a second thread pays
_LEAST, _MOST = 48, 256  # rows of a slice: fewer are slower, more leave threads without work


def product_rows(blas: int, A: Any, B: Any, turned: bool, C: Any) -> None:
    sgemm(blas, A, False, B, turned, C)


def product_columns(blas: int, A: Any, B: Any, turned: bool, C: Any, start: int) -> None:
    sgemm_columns(blas, A, B, start, C)


def affine_rows(blas: int, X: Any, W: Any, b: Any, Y: Any) -> None:
    sgemm(blas, X, False, W, True, Y)
    for i in range(Y.shape[0]):
        y = Y[i]
        for j in range(y.shape[0]):
            y[j] += b[j]


def backprop_affine_rows(blas: int, W: Any, dY: Any, dX: Any, db: Any, part: int) -> None:
    for i in range(dY.shape[0]):
        for j in range(dY.shape[1]):
            db[part, j] += dY[i, j]
    sgemm(blas, dY, False, W, False, dX)


def _kernel(function: Callable[..., None], *sliced: str) -> Kernel:
    return Kernel(function, globals(), dict.fromkeys(sliced, 1), threshold=_THRESHOLD, grain=1)


_rows = _kernel(product_rows, "A", "C")
_columns = _kernel(product_columns, "C")
_affine = _kernel(affine_rows, "X", "Y")
_backprop_affine = _kernel(backprop_affine_rows, "dY", "dX")


def pays(rows: int, columns: int, inner: int) -> bool:
    """Whether a product is large enough for this, and there is a BLAS to call."""
    return rows * columns * inner > _SMALL and has_blas()


def slices_of(rows: int) -> int:
    """How many slices, whatever the number of threads: a row's digits may depend on its place in one. Two threads
    or four have equal shares, where a fifth slice would keep one of them from its end."""
    if rows < 4 * _LEAST:
        return max(1, min(2, rows // _LEAST))
    return 4 * -(-rows // (4 * _MOST))


def multiply(A: Any, turn_A: bool, B: Any, turn_B: bool) -> Any:
    """A B, either transposed where it is said."""
    inner, rows = A.shape if turn_A else A.shape[::-1]
    columns = B.shape[0] if turn_B else B.shape[1]
    if not pays(rows, columns, inner):
        return np.matmul(A.T if turn_A else A, B.T if turn_B else B)
    A, turn_A = _lying(A, turn_A)
    B, turn_B = _lying(B, turn_B)
    if turn_A and turn_B:
        A, turn_A = np.ascontiguousarray(A.T), False
    C = np.empty((rows, columns), np.float32)
    (_columns if turn_A else _rows)(
        rows, sgemm_address(), A, B, turn_B, C, slices=slices_of(rows), size=rows * columns * inner
    )
    return C


def _lying(array: Any, turn: bool) -> tuple[Any, bool]:
    """The array with its rows one after the other, turned where that spares a copy."""
    return (matrix(array.T), not turn) if array.flags.f_contiguous and array.size else (matrix(array), turn)


def gemm(X: Any, Y: Any, *, trans1: bool, trans2: bool) -> Any:
    return multiply(X, trans1, Y, trans2)


def affine(X: Any, W: Any, b: Any) -> Any:
    if not (X.size and b.size and has_blas()):
        Y = np.matmul(X, W.T)
        Y += b
        return Y
    Y = np.empty((len(X), len(W)), np.float32)
    _affine(
        len(X), sgemm_address(), matrix(X), matrix(W), flat(b), Y,
        slices=slices_of(len(X)), size=len(X) * W.size,
    )  # fmt: skip
    return Y


def backprop_affine(dY: Any, X: Any, W: Any, *, wants_dX: bool) -> Any:
    dW = multiply(dY, True, X, False)
    if not wants_dX:
        return None, dW, dY.sum(axis=0)
    if not pays(len(X), *W.shape):
        return np.matmul(dY, W), dW, dY.sum(axis=0)
    dY, slices = matrix(dY), slices_of(len(X))
    dX, db = np.empty(X.shape, np.float32), sums(slices, dY.shape[1])
    _backprop_affine(len(X), sgemm_address(), matrix(W), dY, dX, db, slices=slices, size=len(X) * W.size)
    return dX, dW, added(db, dY.shape[1])


PRODUCTS: Mapping[str, Callable[..., Any]] = {
    "gemm": gemm,
    "affine": affine,
    "backprop_affine": backprop_affine,
}
