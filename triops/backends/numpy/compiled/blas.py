"""A matrix product for one thread, which kernels call on their slices.

NumPy's BLAS would start threads of its own for each product, beside those of the pool. This is a second instance
of the same library, which never has more than the thread that calls it."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba.core import types

from triops.backends.numpy.compiled.jit import inlined, intrinsic

__all__ = ["has_blas", "sgemm", "sgemm_address", "sgemm_columns"]

_SUFFIX = "64_"  # of the names in a library whose numbers have 64 bits
_ROWS_FIRST, _PLAIN, _TRANSPOSED = 101, 111, 112


def has_blas() -> bool:
    """Whether there is such a library."""
    return sgemm_address() != 0


@cache
def sgemm_address() -> int:
    """Where the product of float32 matrices begins, 0 where the package is not installed."""
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # it starts its threads when it is loaded
    try:
        import scipy_openblas64

        library = ctypes.CDLL(_file(scipy_openblas64))
        library[f"scipy_openblas_set_num_threads{_SUFFIX}"](1)
        return ctypes.cast(library[f"scipy_cblas_sgemm{_SUFFIX}"], ctypes.c_void_p).value or 0
    except (ImportError, OSError, AttributeError):
        return 0
    finally:
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _file(package: Any) -> str:
    found = sorted(Path(package.get_lib_dir()).glob("*scipy_openblas64_*.*"))
    shared = [path for path in found if {".so", ".dylib", ".dll"} & set(path.suffixes)]
    if not shared:
        raise OSError(f"{package.get_lib_dir()} has no library")
    return str(shared[0])


@inlined
def sgemm(blas: int, A: Any, turn_A: bool, B: Any, turn_B: bool, C: Any) -> None:
    """C = A B, with A or B transposed where it is said. All are contiguous, and `blas` is what `sgemm_address`
    returns."""
    _sgemm(
        blas, _TRANSPOSED if turn_A else _PLAIN, _TRANSPOSED if turn_B else _PLAIN,
        C.shape[0], C.shape[1], A.shape[0] if turn_A else A.shape[1],
        A.ctypes.data, A.shape[1], B.ctypes.data, B.shape[1], C.ctypes.data, C.shape[1],
    )  # fmt: skip


@inlined
def sgemm_columns(blas: int, A: Any, B: Any, start: int, C: Any) -> None:
    """C = Aᵀ B for the columns of A from `start` on, as many as C has rows."""
    _sgemm(
        blas, _TRANSPOSED, _PLAIN, C.shape[0], C.shape[1], A.shape[0],
        A.ctypes.data + 4 * start, A.shape[1], B.ctypes.data, B.shape[1], C.ctypes.data, C.shape[1],
    )  # fmt: skip


@intrinsic
def _sgemm(
    context: Any, blas: Any, turn_A: Any, turn_B: Any, rows: Any, columns: Any, inner: Any,
    A: Any, step_A: Any, B: Any, step_B: Any, C: Any, step_C: Any,
) -> Any:  # fmt: skip
    """cblas_sgemm, for matrices whose rows lie one after the other."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        short, real = ir.IntType(32), ir.FloatType()
        blas, turn_A, turn_B, *sizes = args
        rows, columns, inner, A, step_A, B, step_B, C, step_C = sizes
        given = [
            short(_ROWS_FIRST), builder.trunc(turn_A, short), builder.trunc(turn_B, short), rows, columns, inner,
            real(1.0), A, step_A, B, step_B, real(0.0), C, step_C,
        ]  # fmt: skip
        # An address is passed as a number is, in every calling convention that Numba knows.
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in given])
        builder.call(builder.inttoptr(blas, kind.as_pointer()), given)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12), generate
