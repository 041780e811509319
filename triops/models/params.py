"""Parameters, gradients and state of one layer. Everything that trains, saves or moves a model goes through
these methods, and so can a wrapper whose parameters live elsewhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from triops.errors import DTypeError, ShapeError, UninitializedError
from triops.models.initializers import Initializer, default_initializer
from triops.models.precision import lowered_to
from triops.models.view import seen
from triops.ops import Ops

__all__ = ["ParamSpec", "Params"]

_adding = threading.Lock()  # threads that go back through one model would lose each other's gradients


def _after_fork() -> None:
    # Another thread of the parent may have held it, and will not let go of it in the child.
    global _adding
    _adding = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ParamSpec(NamedTuple):
    """The shape of a parameter, in names of dimensions and numbers, and what it starts as."""

    dims: tuple[str | int, ...]
    init: Initializer


class Params:
    """The part of `Model` that holds arrays."""

    name: str
    ops: Ops
    _specs: dict[str, ParamSpec]
    _params: dict[str, Any]
    _grads: dict[str, Any]
    _state: dict[str, Any]

    def add_param(self, name: str, dims: Sequence[str | int], init: Initializer | None = None) -> None:
        """Declare a parameter that `initialize` makes: its shape as names of dimensions or numbers, and
        `init(ops, shape, seed)`; by default matrices are drawn (glorot_uniform_init), vectors are zero."""
        self._specs[name] = ParamSpec(tuple(dims), init or default_initializer(len(dims)))
        self._params[name] = None

    @property
    def param_names(self) -> tuple[str, ...]:
        """The parameters of this node, set or not."""
        return tuple(self._params)

    def has_param(self, name: str) -> bool | None:
        """Whether there is such a parameter: None where it is there and has no value yet."""
        params = seen(self)._params
        if name not in params:
            return False
        return True if params[name] is not None else None

    def get_param(self, name: str) -> Any:
        """A parameter's value; raises UninitializedError where it has none yet."""
        value = seen(self)._params.get(name)
        if value is None:
            known = "has no value yet" if name in self._params else "does not exist"
            raise UninitializedError(
                f"parameter {name} {known}: call model.initialize(X, Y) with a sample batch, or load a "
                f"saved model, before using it"
            )
        return value

    def maybe_get_param(self, name: str) -> Any:
        """A parameter's value, or None."""
        return seen(self)._params.get(name)

    def set_param(self, name: str, value: Any) -> None:
        """Set a parameter to an array of this model's ops."""
        if value is not None:
            self.ops.check_owner(self.name, name, value)
        seen(self)._params[name] = value

    def has_grad(self, name: str) -> bool:
        """Whether a gradient has come in since the last update."""
        return name in seen(self)._grads

    def get_grad(self, name: str) -> Any:
        """The gradient so far; raises UninitializedError where there is none."""
        grads = seen(self)._grads
        if name not in grads:
            raise UninitializedError(f"parameter {name} has no gradient: run a backward pass first")
        return grads[name]

    def maybe_get_grad(self, name: str) -> Any:
        """The gradient so far, or None."""
        return seen(self)._grads.get(name)

    def set_grad(self, name: str, value: Any) -> None:
        """Replace a gradient."""
        seen(self)._grads[name] = value

    def inc_grad(self, name: str, value: Any) -> None:
        """Add to a gradient; raises ShapeError and DTypeError where it is not of the parameter's shape and
        dtype."""
        self.check_grad(name, value)
        grads = seen(self)._grads
        with _adding:
            so_far = grads.get(name)
            grads[name] = value if so_far is None else so_far + value

    def check_grad(self, name: str, value: Any) -> Any:
        """Raise where an array is not as a gradient of this parameter has to be; returns the parameter."""
        W = self.get_param(name)
        if type(value) not in self.ops.backend.owned_types:
            self.ops.check_owner(f"gradient of {name}", "value", value)
        if value.shape != W.shape and tuple(value.shape) != tuple(W.shape):
            raise ShapeError(
                f"gradient of {name}: expected the parameter's shape {tuple(W.shape)}, got {tuple(value.shape)}"
            )
        if value.dtype != W.dtype and lowered_to() is None:
            raise DTypeError(f"gradient of {name}: expected the parameter's dtype {W.dtype}, got {value.dtype}")
        return W

    def get_state(self, name: str, default: Any = None) -> Any:
        """A value that is kept between calls and saved, but not trained."""
        return seen(self)._state.get(name, default)

    def set_state(self, name: str, value: Any) -> None:
        """Keep a value between calls: a number, a string, or an array of this model's ops."""
        seen(self)._state[name] = value
