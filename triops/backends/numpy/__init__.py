"""NumPy on the CPU."""

from triops.backends.numpy.backend import NumpyBackend

__all__ = ["BACKEND", "NumpyBackend"]

BACKEND = NumpyBackend
