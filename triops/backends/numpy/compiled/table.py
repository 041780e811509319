"""Compiled kernels by op name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from triops.backends.numpy.compiled.elementwise import ELEMENTWISE

__all__ = ["COMPILED"]

COMPILED: Mapping[str, Callable[..., Any]] = {**ELEMENTWISE}
