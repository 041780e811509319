"""Kernels that Numba compiles for the CPU at hand, for float32; other dtypes are left to the formulas."""

from triops.backends.numpy.compiled.table import COMPILED

__all__ = ["COMPILED"]
