"""Every error that triops raises by itself. A message names the op or layer, the argument, what was
expected, what came, and what to do."""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "ArrayOwnerError",
    "BackendUnavailable",
    "CompileError",
    "DTypeError",
    "GradientError",
    "LoadError",
    "SaveError",
    "ShapeError",
    "TriopsError",
    "UninitializedError",
    "UnknownLengths",
]


class TriopsError(Exception):
    """Base of the errors of triops. `layer_path` is set once a model's layer has raised it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.layer_path: str | None = None

    def __str__(self) -> str:
        if not self.layer_path or self.message.startswith(
            f"{self.layer_path} "
        ):  # which names the path by itself
            return self.message
        return f"{self.layer_path}: {self.message}"


class ArgumentError(TriopsError, ValueError):
    """A number, name or setting is outside what the op or layer can work with."""


class ShapeError(TriopsError, ValueError):
    """An array has the wrong rank, width or length."""


class DTypeError(TriopsError, TypeError):
    """An array has the wrong dtype, or is no array at all."""


class ArrayOwnerError(TriopsError, TypeError):
    """An array belongs to another backend or device than the ops that got it."""


class BackendUnavailable(TriopsError, ImportError):
    """A backend or extra is unknown, not installed, or finds no device."""


class CompileError(TriopsError, ValueError):
    """A layer does something that a compiled program cannot do, or would do wrong."""


class UninitializedError(TriopsError, ValueError):
    """A model's parameter or dimension is used before it is known."""


class GradientError(TriopsError, AssertionError):
    """A model's gradient disagrees with finite differences."""


class SaveError(TriopsError, ValueError):
    """A model holds something that cannot be saved."""


class LoadError(TriopsError, ValueError):
    """Bytes or a file are not a saved model, are damaged, or do not fit the model."""


class UnknownLengths(ArgumentError, ValueError):
    """While compiling, something needs the values of lengths, which are not known yet."""
