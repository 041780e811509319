"""CuPy on CUDA devices."""

from triops.backends.cupy.backend import CupyBackend

__all__ = ["BACKEND", "CupyBackend"]

BACKEND = CupyBackend
