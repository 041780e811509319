"""Python's pickle, for models that go from one process to another: what is asked of the objects of other
libraries first. Saved models are another matter, and hold none of this."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from triops.errors import ArgumentError
from triops.models.guard import located

if TYPE_CHECKING:
    from triops.models.model import Model

__all__ = ["check_pickles"]


def check_pickles(model: Model, what: str, value: Any) -> None:
    """Raise ArgumentError, which names the model, where pickle cannot take a value that is in it."""
    try:
        _Trial(_Nowhere()).dump(value)
    except Exception as error:  # what cannot be pickled raises whatever it likes
        with located(model):
            raise ArgumentError(
                f"{what} cannot be pickled ({error}): define functions and classes at the top of a module that "
                f"the other process can import, or send model.to_bytes() to the same model there"
            ) from error


class _Nowhere:
    def write(self, data: Any) -> None:
        pass


class _Trial(pickle.Pickler):
    """All of the pickle but its arrays, which take time and are never what fails."""

    def persistent_id(self, value: Any) -> Any:
        return "array" if hasattr(value, "dtype") and hasattr(value, "shape") else None
