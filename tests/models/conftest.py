"""Fixtures of the model tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.samples import ops_or_skip
from triops import Ops, fix_random_seed, use_ops


@pytest.fixture(params=["numpy", "jax"])
def ops(request: pytest.FixtureRequest) -> Iterator[Ops]:
    """The ops of each backend on the CPU in turn, which new models are bound to."""
    with use_ops(ops_or_skip(request.param)) as ops:
        yield ops


@pytest.fixture(autouse=True)
def _one_seed() -> Iterator[None]:
    """Every test starts from the same seed, whatever the last one chose."""
    fix_random_seed(0)
    yield
    fix_random_seed(0)
