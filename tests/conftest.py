"""Fixtures that every folder shares, and how the suite is made fast."""

from __future__ import annotations

import gc
import os

import pytest

# Before JAX is imported. Tests run each program a few times on small arrays: what takes long is to compile them.
# `XLA_FLAGS= pytest` compiles as users do.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
# Several workers share a GPU where there is one.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from tests.subject import ON_THE_CPU, Subject, subject
from triops import Ops


def pytest_configure(config: pytest.Config) -> None:
    """Workers share the programs they compile, and keep them for the next run; `--cache-clear` forgets them."""
    cache = getattr(config, "cache", None)
    if cache is not None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache.mkdir("jax")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with programs in common go to one worker, which compiles them once: those of a row of a table, and
    else those of a file."""
    for item in items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
        row = getattr(case, "id", None) or getattr(case, "op", "")
        group = f"{item.path.stem}-{row}" if row else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish() -> None:
    """What tests import stays until the end: a collection of garbage, which takes most of a second with it, need
    not look at it."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Hypothesis looks for who refers to an object, when it is imported for the summary."""
    gc.unfreeze()


@pytest.fixture(params=ON_THE_CPU)
def backend(request: pytest.FixtureRequest) -> Subject:
    """Each backend in turn: NumPy, NumPy with read-only arrays, NumPy without its kernels, JAX."""
    return subject(request.param)


@pytest.fixture(params=["numpy", "jax"])
def ops(request: pytest.FixtureRequest) -> Ops:
    """The ops of each backend in turn."""
    return subject(request.param).ops
