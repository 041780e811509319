"""What a layer does while it is traced that a program would silently get wrong: errors that name the layer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from triops.errors import CompileError
from triops.models.guard import path_of
from triops.models.model import Model
from triops.models.trees import leaves

__all__ = ["nothing_left_behind", "refuse_constants"]

# The model's own tables, which a trace has others for.
_TABLES = frozenset({"_params", "_grads", "_state", "_specs", "_dims", "layers", "attrs", "ops", "name", "id"})


@contextmanager
def nothing_left_behind(model: Model, nodes: Sequence[Model]) -> Iterator[None]:
    """Raise CompileError where a layer keeps something of the trace, or draws random numbers from elsewhere than
    its ops; put its attributes back."""
    host = model.ops.backend.host
    before = [_attributes(node, host) for node in nodes]
    draws = [
        (random.getstate, random.setstate),
        (host.namespace.random.get_state, host.namespace.random.set_state),
    ]
    started = [repr(get()) for get, _ in draws]
    try:
        yield
    except BaseException:
        for node, (values, _) in zip(nodes, before, strict=True):
            _restore(node, values)
        raise
    problem = None
    for node, (values, contents) in zip(nodes, before, strict=True):
        now = _attributes(node, host)[1]
        changed = [name for name in now if name not in contents or now[name] != contents[name]]
        if changed and problem is None:
            problem = _changed(model, node, changed[0])
        _restore(node, values)
    if problem is not None:
        raise CompileError(problem)
    if [repr(get()) for get, _ in draws] != started:
        raise CompileError(
            f"{model.name} cannot be compiled: a layer draws from NumPy's or Python's random numbers, and the "
            f"program would have the same ones in every call: draw with self.ops.dropout_mask(seed, step, ...), "
            f"and count the steps with set_state"
        )


def refuse_constants(model: Model, nodes: Sequence[Model], constants: Sequence[Any]) -> None:
    """Raise CompileError where a parameter, gradient or array of state is compiled in."""
    found = {id(constant) for constant in constants}
    for node in nodes:
        for what, table in (("parameter", node._params), ("gradient", node._grads), ("state", node._state)):
            for name, value in table.items():
                if id(value) in found:
                    raise CompileError(
                        f"{path_of(model, node)} cannot be compiled: {what} {name} was read past get_param, "
                        f"and the "
                        f"program would keep the value of now: read it with self.get_{_GETTERS[what]}({name!r})"
                    )


_GETTERS = {"parameter": "param", "gradient": "grad", "state": "state"}


def _changed(model: Model, node: Model, name: str) -> str:
    value = node.__dict__.get(name)
    if any(map(model.ops.backend.is_traced, leaves(value))):
        what = f"it keeps an array as self.{name}, which has no value while the program is made"
    else:
        what = f"it changes self.{name}, and the program would keep the value of now"
    return (
        f"{path_of(model, node)} cannot be compiled: {what}: keep it with self.set_state({name!r}, ...) and "
        f"read it "
        f"with self.get_state"
    )


def _attributes(node: Model, host: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of a node that are its own, and what is in them."""
    values = {name: _copied(value) for name, value in node.__dict__.items() if name not in _TABLES}
    return values, {name: _contents(value, host) for name, value in values.items()}


def _copied(value: Any) -> Any:
    return value.copy() if type(value) in (list, dict, set) else value


def _contents(value: Any, host: Any) -> Any:
    if isinstance(value, bool | int | float | str | bytes):
        return type(value), value
    if isinstance(value, list | tuple | set):
        return type(value), [_contents(item, host) for item in value]
    if isinstance(value, dict):
        return {key: _contents(item, host) for key, item in value.items()}
    if isinstance(value, host.namespace.ndarray):
        return id(value), value.tobytes() if value.dtype.kind != "O" else None
    generator = getattr(value, "bit_generator", value)
    state = getattr(generator, "state", None) or getattr(value, "getstate", _nothing)()
    return id(value), repr(state) if generator is not value or isinstance(value, random.Random) else None


def _nothing() -> None:
    return None


def _restore(node: Model, values: dict[str, Any]) -> None:
    for name in node.__dict__.keys() - values.keys() - _TABLES:
        del node.__dict__[name]
    for name, value in values.items():
        kept: Any = node.__dict__.get(name)
        if type(value) is list and type(kept) is list:
            kept[:] = value
        elif type(value) in (dict, set) and type(kept) is type(value):
            kept.clear()
            kept.update(value)
        else:
            node.__dict__[name] = value
