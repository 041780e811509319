"""Fixtures that every folder shares."""

from __future__ import annotations

import pytest

from tests.subject import ON_THE_CPU, Subject, subject
from triops import Ops


@pytest.fixture(params=ON_THE_CPU)
def backend(request: pytest.FixtureRequest) -> Subject:
    """Each backend in turn: NumPy, NumPy with read-only arrays, NumPy without its kernels, JAX."""
    return subject(request.param)


@pytest.fixture(params=["numpy", "jax"])
def ops(request: pytest.FixtureRequest) -> Ops:
    """The ops of each backend in turn."""
    return subject(request.param).ops
