"""Thinc on the CPU with triops' kernels, for the whole process, and back.

Thinc makes its ops by name, from a registry; every model holds the ops that it was made with; and the optimizer
makes some for each update. So the registry gets another class of that name, the ops that were made already change
their class, and the optimizer is told where to look. A model's layers are called through three methods of Thinc's
`Model`, which find triops' forward pass where there is one."""

from __future__ import annotations

import gc
import threading
from types import TracebackType
from typing import Any

from triops.errors import BackendUnavailable

try:
    import thinc.optimizers
    from thinc.api import Model, NumpyOps, registry
    from thinc.backends import get_array_ops
except ImportError as error:
    raise BackendUnavailable(
        f"accelerate_thinc needs the package thinc ({error}): pip install 'triops[thinc]'"
    ) from error

from triops.models.wrappers.thinc_layers import FORWARDS
from triops.models.wrappers.thinc_ops import TriopsOps
from triops.models.wrappers.thinc_optimizer import finish_update

__all__ = ["ThincAcceleration", "accelerate_thinc", "restore_thinc"]

_lock = threading.Lock()
_replaced: list[tuple[Any, str, Any]] = []  # owner, attribute, and what it was


class ThincAcceleration:
    """What `accelerate_thinc` did; as a context manager it is undone at the end of the block, unless Thinc was
    accelerated before."""

    def __init__(self, changed: bool) -> None:
        self._changed = changed

    def restore(self) -> None:
        """Undo it, unless Thinc was accelerated before."""
        if self._changed:
            restore_thinc()

    def __enter__(self) -> ThincAcceleration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()


def accelerate_thinc() -> ThincAcceleration:
    """Have Thinc compute on the CPU with triops' kernels: all its models and optimizers in this process, and so
    every spaCy pipeline, those that are there and those to come, without a change to their code.

    Results are Thinc's to the accuracy of float32; calls that triops' kernels are not for, such as float64
    arrays, go to Thinc's own code. A `NumpyOps()` that a program makes by its class from now on stays Thinc's
    own. Models on a GPU are left alone. In the config of a spaCy pipeline:

        [nlp]
        before_creation = {"@callbacks": "triops.accelerate_thinc.v1"}

    Returns a handle that undoes it with `restore()`, or at the end of a `with` block; `restore_thinc()` does so
    in any case. Raises BackendUnavailable where Thinc is not installed.
    """
    with _lock:
        if _replaced:
            return ThincAcceleration(changed=False)
        registry.ops.register("NumpyOps", func=TriopsOps)
        _change_class(NumpyOps, TriopsOps)
        for owner, name, value in (
            (thinc.optimizers, "get_array_ops", _get_array_ops),
            (Model, "__call__", _call),
            (Model, "begin_update", _begin_update),
            (Model, "predict", _predict),
            (Model, "finish_update", finish_update),
        ):
            _replaced.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)
    return ThincAcceleration(changed=True)


def restore_thinc() -> None:
    """Have Thinc compute with its own code again, in all of this process; nothing where it does so already."""
    with _lock:
        if not _replaced:
            return
        for owner, name, value in _replaced:
            setattr(owner, name, value)
        _replaced.clear()
        registry.ops.register("NumpyOps", func=NumpyOps)
        _change_class(TriopsOps, NumpyOps)


def _change_class(before: type, after: type) -> None:
    """Thinc keeps no list of its models and their ops, but Python knows every object."""
    for made in gc.get_objects():
        if type(made) is before:
            made.__class__ = after


def _get_array_ops(array: Any) -> Any:
    theirs = get_array_ops(array)
    return TriopsOps() if type(theirs) is NumpyOps else theirs


def _call(self: Any, X: Any, is_train: bool) -> Any:
    return FORWARDS.get(self._func, self._func)(self, X, is_train=is_train)


def _begin_update(self: Any, X: Any) -> Any:
    return FORWARDS.get(self._func, self._func)(self, X, is_train=True)


def _predict(self: Any, X: Any) -> Any:
    return FORWARDS.get(self._func, self._func)(self, X, is_train=False)[0]
