"""Whole passes over a model as programs of its backend's compiler."""

from triops.models.compile.model import CompiledModel

__all__ = ["CompiledModel"]
