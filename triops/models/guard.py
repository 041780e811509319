"""What is done around every layer's `begin_update`, once, so that no layer has to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

from triops.errors import DTypeError, ShapeError, TriopsError
from triops.models.precision import cast_like, given_by, lowered_to, taken_by
from triops.models.stand_ins import stand_in_for
from triops.models.trees import TREES, described, places_differ, places_of
from triops.ops.base import is_float
from triops.ragged import Joined, Padded, Ragged
from triops.types import Backprop

if TYPE_CHECKING:
    from triops.models.model import Model

__all__ = ["check_owner", "guarded", "locate", "located", "path_of"]

BeginUpdate = Callable[..., tuple[Any, Backprop]]

# What the arguments belong to, in errors that name the layer already.
_CALLS = {"X": "begin_update", "dY": "backprop"}


def guarded(begin_update: BeginUpdate) -> BeginUpdate:
    """Wrap a `begin_update`: refuse arrays of other backends, hold dY to the shape and dtype of Y, name the
    layer in errors, and apply `sgd` when the backward pass of this layer, and so of all inside it, is done."""

    @wraps(begin_update)
    def checked(self: Model, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        try:
            check_owner(self, "X", X)
            dtype = lowered_to()
            taken = X if dtype is None else taken_by(self, X, dtype)
            stand_in = stand_in_for(self)
            Y, backprop = begin_update(self, taken, drop) if stand_in is None else stand_in(taken, drop)
        except Exception as error:
            locate(error, self)
            raise
        form = _form(Y)
        # Without it the callback would keep X and Y for longer than the layer does.
        came, made = (None, None) if dtype is None else (X, Y)

        def checked_backprop(dY: Any, sgd: Callable[..., Any] | None = None) -> Any:
            if dY is None and not any(node.param_names for node in self.walk()):
                return None  # what comes after has no gradient, and nothing here learns from one
            try:
                check_owner(self, "dY", dY)
                if dtype is not None:
                    dY = cast_like(dY, made)
                _check_form(form, dY)
                dX = backprop(dY)
                if dtype is not None:
                    dX = cast_like(dX, came)
            except Exception as error:
                locate(error, self)
                raise
            if sgd is not None:
                self.finish_update(sgd)
            return dX

        return Y if dtype is None else given_by(self, Y, dtype), checked_backprop

    return checked


class located:
    """Name the layer in errors that leave this block."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            locate(error, self._model)


def path_of(root: Model, leaf: Model) -> str:
    """The way from a model to a layer in it: `chain > 1:residual > 0:maxout`."""
    steps = _steps(root, leaf.id, set())
    return leaf.name if steps is None else " > ".join([root.name, *steps])


def locate(error: Exception, model: Model) -> None:
    """Called by each model on the error's way out: the innermost is where it happened, the outermost is
    where the path begins."""
    # The error keeps no model: it may be pickled to another process, or outlive the model by far.
    known = error.__dict__
    layer, below = known.get("_triops_layer", (model.id, []))
    steps = _steps(model, layer, set())
    if steps is None:  # it comes from a model that is not among the layers of this one
        layer, below, steps = model.id, known["_triops_path"], []
    path = [model.name, *steps, *below]
    known.update(_triops_layer=(layer, below), _triops_path=path)
    if isinstance(error, TriopsError):
        error.layer_path = " > ".join(path)
        return
    notes = known.setdefault("__notes__", [])
    if known.get("_triops_note") in notes:
        notes.remove(known["_triops_note"])
    known["_triops_note"] = f"in layer {' > '.join(path)}"
    notes.append(known["_triops_note"])


def _steps(root: Model, wanted: int, seen: set[int]) -> list[str] | None:
    if root.id == wanted:
        return []
    seen.add(root.id)
    for i, layer in enumerate(root.layers):
        if layer.id not in seen:
            below = _steps(layer, wanted, seen)
            if below is not None:
                return [f"{i}:{layer.name}", *below]
    return None


def check_owner(model: Model, argument: str, data: Any) -> None:
    """Raise where data holds an array of another backend."""
    backend = model.ops.backend
    owns, owned = backend.owns, backend.owned_types
    if type(data) in owned or owns(data):
        return
    if type(data) is Ragged and type(data.data) in owned and type(data.lengths) in owned:
        return
    if isinstance(data, Joined):
        data = data.data
    if isinstance(data, Ragged | Padded):
        data = (data.data, *places_of(data).values())
    for item in data if isinstance(data, list | tuple) else (data,):
        if owns(item):
            continue
        if isinstance(item, list | tuple | Ragged | Padded):
            check_owner(model, argument, item)
        elif hasattr(item, "dtype"):
            model.ops.check_owner(_CALLS[argument], argument, item)


class _Sequences(NamedTuple):
    """What dY must be like where Y is Ragged or Padded."""

    kind: str
    data: Any
    places: dict[str, Any]


def _form(Y: Any) -> Any:
    """What dY must be like: (shape, dtype) of an array, a list of these, sequences, or None for anything."""
    if not isinstance(Y, TREES):
        return (tuple(Y.shape), Y.dtype) if hasattr(Y, "dtype") and is_float(Y.dtype) else None
    if type(Y) is Ragged and is_float(Y.data.dtype):
        return _Sequences("Ragged", (tuple(Y.data.shape), Y.data.dtype), {"lengths": Y.lengths})
    if isinstance(Y, Joined):
        return _Sequences(type(Y).__name__, _form(Y.data), {"lengths": Y.lengths})
    if isinstance(Y, list | tuple):
        forms = [_form(y) for y in Y]
        return None if forms and not any(forms) else forms  # arrays of ids have no gradient
    inner = _form(Y.data)
    return None if inner is None else _Sequences(type(Y).__name__, inner, places_of(Y))


def _check_form(form: Any, dY: Any) -> None:
    if form is None or (type(form) is tuple and form == (getattr(dY, "shape", None), getattr(dY, "dtype", None))):
        return
    advice = "give backprop the gradient of the output that this call returned"
    if isinstance(form, list):
        if not isinstance(dY, list | tuple) or len(dY) != len(form):
            raise ShapeError(f"dY must be a list of {len(form)} arrays, as Y is, got {described(dY)}: {advice}")
        for inner, item in zip(form, dY, strict=True):
            if item is not None:  # no gradient comes back to this one
                _check_form(inner, item)
        return
    if isinstance(form, _Sequences):
        if type(dY).__name__ != form.kind:
            raise DTypeError(f"dY must be {form.kind}, as Y is, got {described(dY)}: {advice}")
        places = places_differ(form.places, places_of(dY))
        if places is not None:
            raise ShapeError(f"dY must have Y's {places[0]}, got {places[1]}: {advice}")
        _check_form(form.data, dY.data)
        return
    shape, dtype = form
    if dY is None:
        advice = (
            "the layer after this one may have no gradient for its input, and then nothing before it can learn: "
            "put it before all layers with parameters"
        )
    if not hasattr(dY, "dtype"):
        raise DTypeError(f"dY must be an array of shape {shape}, as Y is, got {type(dY).__name__}: {advice}")
    if tuple(dY.shape) != shape:
        raise ShapeError(f"dY must have the shape of Y, {shape}, got {tuple(dY.shape)}: {advice}")
    if dY.dtype != dtype:
        raise DTypeError(f"dY is {dY.dtype} and Y is {dtype}: convert it, as in ops.asarray(dY, dtype='{dtype}')")
