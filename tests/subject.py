"""What a test of ops runs on: the ops, and how NumPy data reaches them. Nothing here imports a framework
other than NumPy; a backend is loaded only by asking triops for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from triops import Ops, get_ops
from triops.backends.numpy import NumpyBackend
from triops.errors import BackendUnavailable

__all__ = ["ON_THE_CPU", "FormulaBackend", "Subject", "method_of", "ops_or_skip", "subject"]


class FormulaBackend(NumpyBackend):
    """NumPy with no kernel of its own: what runs is every agnostic formula."""

    kernels = compiled = {}  # noqa: RUF012 - it stands in for properties of the base class


@dataclass(frozen=True)
class Subject:
    """Ops under test. Where `read_only`, an op that writes to an argument raises."""

    name: str
    ops: Ops
    read_only: bool = False

    def array(self, data: Any) -> Any:
        """A NumPy array as one of these ops, with its dtype, and on NumPy with its strides."""
        array = self.ops.asarray(data, dtype=data.dtype)
        if self.read_only:
            array = array.view()
            array.flags.writeable = False
        return array

    def numpy(self, array: Any) -> Any:
        """An array of these ops as NumPy."""
        return self.ops.to_numpy(array)


ON_THE_CPU = ("numpy", "numpy-readonly", "formulas", "jax")


def subject(name: str) -> Subject:
    """The subject of that name, or a skip with the backend's own reason."""
    if name == "formulas":
        return Subject(name, Ops(FormulaBackend(NumpyBackend.devices()[0])))
    backend, _, how = name.partition("-")
    return Subject(name, ops_or_skip(backend), read_only=how == "readonly")


def ops_or_skip(name: str, device: str | None = None) -> Ops:
    """The ops of a backend, or a skip that says why there are none."""
    try:
        return get_ops(name, device)
    except BackendUnavailable as error:
        pytest.skip(error.message)


def method_of(ops: Ops, op: str) -> Callable[..., Any]:
    """An op's method, without the builtin function that may stand before it."""
    return getattr(type(ops), op).__get__(ops)  # type: ignore[no-any-return]


def foreign_array(subject: Subject) -> Any:
    """An array of another backend than the subject's, or a skip where there is none."""
    other = ops_or_skip("jax" if subject.ops.name == "numpy" else "numpy")
    return other.asarray(np.ones((2, 3), dtype="float32"))
