"""Packages that only measuring needs, loaded when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from triops.errors import BackendUnavailable

__all__ = ["load_extra"]


def load_extra(module: str, package: str) -> Any:
    """A module of the `bench` extra; raises BackendUnavailable, saying what to install, where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise BackendUnavailable(
            f"this needs the package {package!r}, which cannot be imported ({error}): pip install 'triops[bench]'"
        ) from error
