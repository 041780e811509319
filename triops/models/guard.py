"""What is done around every layer's `begin_update`, once, so that no layer has to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from triops.errors import ShapeError, TriopsError
from triops.types import Backprop

if TYPE_CHECKING:
    from triops.models.model import Model

__all__ = ["guarded", "located", "path_of"]

BeginUpdate = Callable[..., tuple[Any, Backprop]]


def guarded(begin_update: BeginUpdate) -> BeginUpdate:
    """Wrap a `begin_update`: refuse arrays of other backends, hold dY to the shape of Y, name the layer in
    errors, and apply `sgd` when the backward pass of this layer, and so of all inside it, is done."""

    @wraps(begin_update)
    def checked(self: Model, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        try:
            _check_owner(self, "X", X)
            Y, backprop = begin_update(self, X, drop)
        except Exception as error:
            _locate(error, self)
            raise
        shape = getattr(Y, "shape", None)

        def checked_backprop(dY: Any, sgd: Callable[..., Any] | None = None) -> Any:
            try:
                _check_owner(self, "dY", dY)
                if shape is not None and getattr(dY, "shape", shape) != shape:
                    raise ShapeError(
                        f"dY must have the shape of Y, {tuple(shape)}, got {tuple(dY.shape)}: give backprop "
                        f"the gradient of the output that this call returned"
                    )
                dX = backprop(dY)
            except Exception as error:
                _locate(error, self)
                raise
            if sgd is not None:
                self.finish_update(sgd)
            return dX

        return Y, checked_backprop

    return checked


@contextmanager
def located(model: Model) -> Iterator[None]:
    """Name the layer in errors that leave this block."""
    try:
        yield
    except Exception as error:
        _locate(error, model)
        raise


def path_of(root: Model, leaf: Model) -> str:
    """The way from a model to a layer in it: `chain > 1:residual > 0:maxout`."""
    steps = _steps(root, leaf, set())
    return " > ".join([root.name, *steps]) if steps is not None else leaf.name


def _steps(root: Model, leaf: Model, seen: set[int]) -> list[str] | None:
    if root is leaf:
        return []
    seen.add(root.id)
    for i, layer in enumerate(root.layers):
        if layer.id not in seen:
            below = _steps(layer, leaf, seen)
            if below is not None:
                return [f"{i}:{layer.name}", *below]
    return None


def _locate(error: Exception, model: Model) -> None:
    """Called by each model on the error's way out: the innermost is where it happened, the outermost is
    where the path begins."""
    where: Model = error.__dict__.setdefault("_triops_layer", model)
    path = path_of(model, where)
    if isinstance(error, TriopsError):
        error.layer_path = path
        return
    note = error.__dict__.get("_triops_note")
    notes = error.__dict__.setdefault("__notes__", [])
    if note in notes:
        notes.remove(note)
    error.__dict__["_triops_note"] = f"in layer {path}"
    notes.append(f"in layer {path}")


def _check_owner(model: Model, argument: str, data: Any) -> None:
    owns = model.ops.backend.owns
    if owns(data):
        return
    for item in data if isinstance(data, list | tuple) else (data,):
        if hasattr(item, "dtype") and not owns(item):
            model.ops.check_owner(model.name, argument, item)
