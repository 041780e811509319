"""JAX on any of its devices."""

from triops.backends.jax.backend import JaxBackend

__all__ = ["BACKEND", "JaxBackend"]

BACKEND = JaxBackend
