"""A backend's kernels stand in for formulas: same name, same arguments."""

from __future__ import annotations

import importlib
import inspect
from inspect import Parameter

import pytest

from tests.subject import ops_or_skip
from triops.ops.formulas import FORMULAS


def test_a_formula_tells_data_from_settings() -> None:
    """Whatever is positional may change from call to call; JAX compiles in what is keyword-only."""
    for name, formula in FORMULAS.items():
        first, *others = inspect.signature(formula).parameters.values()
        assert first.name == "xp", name
        assert {p.kind for p in others} <= {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}, name
        assert all(p.default is Parameter.empty for p in others), name


@pytest.mark.parametrize("name", ["numpy", "cupy", "jax"])
def test_kernels_have_the_signatures_of_formulas(name: str) -> None:
    ops_or_skip(name)
    kernels = importlib.import_module(f"triops.backends.{name}.kernels").KERNELS
    assert kernels
    assert set(kernels) <= set(FORMULAS)
    for op, kernel in kernels.items():
        taken = [(p.name, p.kind) for p in inspect.signature(kernel).parameters.values()]
        expected = [(p.name, p.kind) for p in inspect.signature(FORMULAS[op]).parameters.values()]
        assert taken == expected[1:], op
