"""The variables of a `tf.Module` by the attributes they are kept in, and a copy of it in another dtype."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import tensorflow as tf

__all__ = ["module_in_dtype", "named_variables"]


def named_variables(module: Any) -> dict[str, Any]:
    """Every variable once, by its path of attributes and keys, as "layers.0.w"."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for path, variable in _paths(module):
        if id(variable) not in seen:
            seen.add(id(variable))
            found[".".join(map(str, path))] = variable
    return found


def module_in_dtype(module: Any, dtype: str | None) -> Any:
    """A copy of the module, its floating variables in another dtype where one is given."""
    twin = deepcopy(module)
    made: dict[int, Any] = {}
    for path, variable in list(_paths(twin)) if dtype is not None else []:
        if not variable.dtype.is_floating:
            continue
        if id(variable) not in made:
            value = tf.cast(variable, dtype)
            name = variable.name.partition(":")[0]
            # The old one is kept alive, so that its id stays its own.
            made[id(variable)] = tf.Variable(value, trainable=variable.trainable, name=name), variable
        _replaced(twin, path, made[id(variable)][0])
    return twin


def _paths(module: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """(path, variable), sorted by path, of all places that hold one, in modules, lists, tuples and dicts."""
    found: list[tuple[tuple[Any, ...], Any]] = []

    def visit(value: Any, path: tuple[Any, ...], above: frozenset[int]) -> None:
        if isinstance(value, tf.Variable):
            found.append((path, value))
            return
        if id(value) in above:
            return
        for key, item in _items(value):
            visit(item, (*path, key), above | {id(value)})

    visit(module, (), frozenset())
    return found


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, tf.Module):
        hidden = value._TF_MODULE_IGNORED_PROPERTIES
        return sorted((key, item) for key, item in vars(value).items() if key not in hidden)
    if isinstance(value, dict):
        return sorted(value.items(), key=lambda pair: str(pair[0]))
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def _replaced(holder: Any, path: tuple[Any, ...], variable: Any) -> Any:
    """The holder with a variable put at that path; tuples on the way are made again."""
    if not path:
        return variable
    key, rest = path[0], path[1:]
    if isinstance(holder, tf.Module):
        setattr(holder, key, _replaced(getattr(holder, key), rest, variable))
        return holder
    if isinstance(holder, tuple):
        return tuple(_replaced(item, rest, variable) if i == key else item for i, item in enumerate(holder))
    holder[key] = _replaced(holder[key], rest, variable)
    return holder
