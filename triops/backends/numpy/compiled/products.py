"""Matrix products on the pool's threads, each of some rows of the result, or of blocks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from triops.backends.numpy.compiled.arrays import added, flat, floats, matrix, sums, zeros
from triops.backends.numpy.compiled.blocks import (
    THRESHOLD,
    block_kernel,
    in_blocks,
    one_block_kernel,
    reads_as_it_lies,
    times,
    with_steps,
)
from triops.backends.numpy.compiled.build import Kernel, on_one_thread
from triops.backends.numpy.compiled.gradients import gradient_kernel, is_small
from triops.backends.numpy.compiled.jit import called
from triops.backends.numpy.compiled.places import at
from triops.backends.numpy.compiled.tiles import FEW, PANEL, tiled

__all__ = [
    "AFFINE_FEW",
    "BACKPROP_AFFINE_FEW",
    "PRODUCTS",
    "PRODUCT_FEW",
    "column_sums",
    "multiply",
    "slices_of",
]

_SMALL = 1 << 17  # multiplications, which NumPy's BLAS does on the calling thread too, in less time a call
_LEAST, _MOST = 48, 96  # rows of a slice: fewer leave a thread little to do, more leave the nearest caches


def product_rows(A: Any, down: int, along: int, B: Any, C: Any, start: int) -> None:
    tiled(
        at(A, down * start), down, along, at(B, 0), B.shape[1], PANEL, at(C, 0),
        C.shape[1], C.shape[0], B.shape[0], C.shape[1], False,
    )  # fmt: skip


def backprop_affine_rows(W: Any, dY: Any, dX: Any, db: Any, part: int) -> None:
    for i in range(dY.shape[0]):
        for j in range(dY.shape[1]):
            db[part, j] += dY[i, j]
    times(dY, W, dX)


def add_rows(Y: Any, sums: Any) -> None:
    for i in range(Y.shape[0]):
        for j in range(sums.size):
            sums[j] += Y[i, j]


def add_to_rows(b: Any, Y: Any) -> None:
    for i in range(Y.shape[0]):
        for j in range(b.size):
            Y[i, j] += b[j]


_add_to_rows = on_one_thread(add_to_rows, globals())
_add_rows = on_one_thread(add_rows, globals())
_product = Kernel(product_rows, globals(), {"C": 1}, threshold=THRESHOLD, grain=FEW)
_backprop_affine = Kernel(backprop_affine_rows, globals(), {"dY": 1, "dX": 1}, threshold=THRESHOLD, grain=FEW)


def pays(rows: int, columns: int, terms: int, turn_B: bool) -> bool:
    """Whether a product is large enough for this. A BLAS is slow with a small B that has to be transposed, and
    fast with few rows or columns."""
    work = rows * columns * terms
    if rows < FEW or columns < PANEL // 2:
        return work > 8 * _SMALL
    return work > (_SMALL if turn_B else 4 * _SMALL)


pays_here = called(pays)


def slices_of(rows: int) -> int:
    """How many slices, whatever the number of threads: sums over a slice are the same then. Two threads or four
    have equal shares, where a fifth slice would keep one of them from its end."""
    return 1 + rows // _LEAST if rows < 2 * _LEAST else 4 * -(-rows // (4 * _MOST))


_IN_Y = ("at(Y, first * Y.shape[1] + left)", "Y.shape[1]")
_ADD_BIAS = [
    "for i in range(first, end):",
    "    y, bias = Y[i, left:right], b[left:right]",
    "    for j in range(y.shape[0]):",
    "        y[j] += bias[j]",
]
_turned_product = block_kernel("product_turned", "Y", _IN_Y, [], {})
_plain_product = block_kernel("product_plain", "Y", _IN_Y, [], {}, turned=False)
_affine = block_kernel("affine", "b, Y", _IN_Y, _ADD_BIAS, {})


@called
def is_for_blas(A: Any, B: Any) -> bool:
    return not pays_here(A.shape[0], B.shape[0], A.shape[1], True)


# Small ones in direct calls: the same, to the last bit, as one block.
AFFINE_FEW = one_block_kernel("affine", "b, Y", _IN_Y, _ADD_BIAS, {"refused": is_for_blas})
PRODUCT_FEW = one_block_kernel("product_turned", "Y", _IN_Y, [], {"refused": is_for_blas})

_SUMS_OF_ROWS = [
    "for i in range(dY.shape[0]):",
    "    for j in range(dY.shape[1]):",
    "        db[j] += dY[i, j]",
    "dZ = dY",
]
BACKPROP_AFFINE_FEW = {
    wants_dX: gradient_kernel(
        "backprop_affine", "dX, dW, db" if wants_dX else "dW, db", _SUMS_OF_ROWS, {}, wants_dX=wants_dX
    )
    for wants_dX in (True, False)
}


def column_sums(Y: Any) -> Any:
    """Σ Y over the rows."""
    sums = zeros(Y.shape[1])
    _add_rows(matrix(Y), sums)
    return sums


def multiply(A: Any, turn_A: bool, B: Any, turn_B: bool) -> Any:
    """A B, either transposed where it is said."""
    terms, rows = A.shape if turn_A else A.shape[::-1]
    columns = B.shape[not turn_B]
    if not pays(rows, columns, terms, turn_B):
        return (A.T if turn_A else A).dot(B.T if turn_B else B)  # the BLAS that matmul calls, and less before
    A, turn_A = _lying(A, turn_A)
    B, turn_B = _lying(B, turn_B)
    C = floats((rows, columns))
    if turn_B or not reads_as_it_lies(1, columns):
        in_blocks(_turned_product if turn_B else _plain_product, A, B, C, columns=columns, turn_A=turn_A)
    else:
        _product.run(rows, *with_steps(A, turn_A), B, C, slices=slices_of(rows), size=rows * columns * terms)
    return C


def _lying(array: Any, turn: bool) -> tuple[Any, bool]:
    """The array with its rows one after the other, turned where that spares a copy."""
    return (matrix(array.T), not turn) if array.flags.f_contiguous and array.size else (matrix(array), turn)


def gemm(X: Any, Y: Any, *, trans1: bool, trans2: bool) -> Any:
    return multiply(X, trans1, Y, trans2)


def affine(X: Any, W: Any, b: Any) -> Any:
    nO, nI = W.shape
    if not pays(len(X), nO, nI, turn_B=True):
        Y = X.dot(W.T)
        _add_to_rows(flat(b), Y)
        return Y
    Y = floats((len(X), nO))
    in_blocks(_affine, matrix(X), matrix(W), flat(b), Y, columns=nO)
    return Y


def backprop_affine(dY: Any, X: Any, W: Any, *, wants_dX: bool) -> Any:
    if X.size and W.size and is_small(X, W):
        dX, dW, db = [floats(X.shape)] if wants_dX else [], floats(W.shape), zeros(len(W))
        BACKPROP_AFFINE_FEW[wants_dX].run(len(X), matrix(dY), matrix(X), matrix(W), *dX, dW, db, slices=1)
        return dX[0] if wants_dX else None, dW, db
    dW = multiply(dY, True, X, False)
    if not wants_dX:
        return None, dW, column_sums(dY)
    nO, nI = W.shape
    if not pays(len(X), nI, nO, turn_B=False):
        return dY.dot(W), dW, column_sums(dY)
    if not reads_as_it_lies(nO, nI):
        return multiply(dY, False, W, False), dW, column_sums(dY)
    dY, slices = matrix(dY), slices_of(len(X))
    dX, db = floats(X.shape), sums(slices, dY.shape[1])
    _backprop_affine.run(len(X), matrix(W), dY, dX, db, slices=slices, size=len(X) * W.size)
    return dX, dW, added(db, dY.shape[1])


PRODUCTS: Mapping[str, Callable[..., Any]] = {
    "gemm": gemm,
    "affine": affine,
    "backprop_affine": backprop_affine,
}
