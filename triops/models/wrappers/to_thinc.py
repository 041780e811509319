"""A triops model, or anything with the same methods, as a Thinc model: a layer among Thinc's, and the model of a
spaCy component."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from triops.errors import ArgumentError, BackendUnavailable
from triops.models.model import Model

try:
    import thinc.api
except ImportError as error:
    raise BackendUnavailable(
        f"to_thinc needs the package thinc ({error}): pip install 'triops[thinc]'"
    ) from error

from triops.models.wrappers.thinc_data import from_thinc, to_thinc_data

__all__ = ["TriopsShim", "to_thinc"]

_NEEDED = ("begin_update", "to_bytes", "from_bytes", "to_disk", "from_disk")


def to_thinc(model: Any, *, name: str | None = None) -> Any:
    """A Thinc model that computes with `model`, whose parameters it shares and keeps.

    model: a triops model, or any object with `begin_update(X)`, or `begin_update(X, drop)`, that returns Y and a
    callback for the gradient, and with `to_bytes`, `from_bytes`, `to_disk` and `from_disk`. Where it has them,
    `predict(X)`, `finish_update(optimizer)`, `initialize(X, Y)`, `use_params(params)` and the dims `nI` and `nO`
    are used as well.

    What goes into a triops model is turned into its arrays, Ragged and Padded, and what comes out into Thinc's;
    Docs and other objects go through as they are, and have no gradient. An object of another kind gets and gives
    Thinc's data. Training passes have the `drop` of Thinc's `set_dropout_rate`, which is that of spaCy's
    `nlp.update`. Thinc's optimizers and triops' update the parameters. Raises ArgumentError where a method is
    missing.
    """
    missing = [method for method in _NEEDED if not callable(getattr(model, method, None))]
    if missing:
        raise ArgumentError(
            f"to_thinc: {type(model).__name__} has no {', '.join(missing)}: give it a triops model, or an object "
            f"with these methods"
        )
    wrapper = thinc.api.Model(
        name or getattr(model, "name", type(model).__name__.lower()),
        _forward,
        init=_initialize,
        dims={"nO": None, "nI": None},
        attrs={"dropout_rate": 0.0},
        shims=[TriopsShim(model)],
    )
    _take_dims(wrapper)
    return wrapper


def _forward(wrapper: Any, X: Any, is_train: bool) -> tuple[Any, Callable[[Any], Any]]:
    Y, backprop = wrapper.shims[0].forward(X, wrapper.attrs["dropout_rate"] if is_train else None)
    return Y, backprop


def _initialize(wrapper: Any, X: Any = None, Y: Any = None) -> None:
    wrapper.shims[0].initialize(X, Y)
    _take_dims(wrapper)


def _take_dims(wrapper: Any) -> None:
    get_dim = getattr(wrapper.shims[0].model, "maybe_get_dim", lambda name: None)
    for name in ("nO", "nI"):
        if size := get_dim(name):
            wrapper.set_dim(name, size)


class TriopsShim(thinc.api.Shim):  # type: ignore[misc]
    """What Thinc asks of a model that is none of its own."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.model = model

    # -- computing

    def forward(self, X: Any, drop: float | None) -> tuple[Any, Callable[[Any], Any]]:
        """Y, and a callback for the gradient. drop: None to predict."""
        model = self.model
        inputs = from_thinc(model.ops, X) if isinstance(model, Model) else X
        if drop is None and hasattr(model, "predict"):
            Y, backprop_inside = model.predict(inputs), _refuse
        elif _takes_drop(model):
            Y, backprop_inside = model.begin_update(inputs, drop=drop)
        else:
            Y, backprop_inside = model.begin_update(inputs)
        if not isinstance(model, Model):
            return Y, backprop_inside

        def backprop(dY: Any) -> Any:
            dX = backprop_inside(from_thinc(model.ops, dY))
            return _like(X, to_thinc_data(model.ops, dX))

        return to_thinc_data(model.ops, Y), backprop

    def initialize(self, X: Any, Y: Any) -> None:
        if isinstance(self.model, Model):
            self.model.initialize(from_thinc(self.model.ops, X), from_thinc(self.model.ops, Y))
        elif hasattr(self.model, "initialize"):
            self.model.initialize(X, Y)

    # -- training

    def finish_update(self, optimizer: Callable[..., Any]) -> None:
        """Update with an optimizer of triops, or with one that changes NumPy arrays, as Thinc's do."""
        if not isinstance(self.model, Model):
            if hasattr(self.model, "finish_update"):
                self.model.finish_update(optimizer)
            return
        self.model.finish_update(optimizer if hasattr(optimizer, "update_all") else self._on_copies(optimizer))

    def _on_copies(self, optimizer: Callable[..., Any]) -> Callable[..., Any]:
        keys = {key: theirs for theirs, key in self._keys().items()}
        ops = self.model.ops

        def update(key: Any, weights: Any, gradient: Any) -> tuple[Any, Any]:
            arrays = (np.array(ops.to_numpy(array)) for array in (weights, gradient))
            updated, _ = optimizer(keys[key], *arrays)
            return ops.asarray(updated, updated.dtype), gradient

        return update

    @contextmanager
    def use_params(self, params: Mapping[Any, Any]) -> Iterator[None]:
        """Other parameters for a block, such as a Thinc optimizer's averages."""
        with ExitStack() as stack:
            if isinstance(self.model, Model):
                ops = self.model.ops
                known = {key: params[theirs] for theirs, key in self._keys().items() if theirs in params}
                known |= {key: value for key, value in params.items() if key in self._keys().values()}
                stack.enter_context(
                    self.model.use_params({key: ops.asarray(value, value.dtype) for key, value in known.items()})
                )
            elif hasattr(self.model, "use_params"):
                stack.enter_context(self.model.use_params(params))
            yield

    def _keys(self) -> dict[tuple[int, str], tuple[int, str]]:
        """Keys that no layer of Thinc's has, with those of the model: both count their layers from 1."""
        return {
            (self.id, f"triops:{i}:{name}"): (node.id, name)
            for i, node in enumerate(self.model.walk())
            for name in node.param_names
        }

    # -- copying and saving

    def copy(self) -> TriopsShim:
        model = self.model.copy() if hasattr(self.model, "copy") else super().copy().model
        return TriopsShim(model)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Nothing: a triops model keeps its ops until `to()` moves it."""

    def to_bytes(self) -> bytes:
        data: bytes = self.model.to_bytes()
        return data

    def from_bytes(self, data: bytes) -> TriopsShim:
        self.model.from_bytes(data)
        return self


def _takes_drop(model: Any) -> bool:
    return isinstance(model, Model) or "drop" in inspect.signature(model.begin_update).parameters


def _refuse(dY: Any) -> Any:
    raise ArgumentError("this was a prediction, which records nothing: call begin_update")


def _like(X: Any, dX: Any) -> Any:
    """The gradient for Thinc, which wants zeros where there is none, and nothing for what is no array."""
    if isinstance(X, thinc.types.Ragged | thinc.types.Padded):
        return dX if dX is not None else _with_data(X, np.zeros_like(X.data))
    if isinstance(X, list | tuple):
        if dX is None:
            dX = [None] * len(X)
        return type(X)(
            _like(x, dx) for x, dx in zip(X, dX, strict=True) if isinstance(x, np.ndarray) or dx is not None
        )
    return np.zeros_like(X) if dX is None and isinstance(X, np.ndarray) else dX


def _with_data(X: Any, data: Any) -> Any:
    if isinstance(X, thinc.types.Ragged):
        return thinc.types.Ragged(data, X.lengths)
    return thinc.types.Padded(data, X.size_at_t, X.lengths, X.indices)
