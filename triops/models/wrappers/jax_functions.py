"""What JaxWrapper wraps, as one pure function of named arrays: a function with its pytree, or a module."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from triops.errors import ArgumentError
from triops.models.wrappers.jax_passes import Fixed, Pass, Program, is_float

__all__ = ["Functional", "apply", "functional", "named"]


@dataclass(frozen=True)
class Functional:
    """A pure function, and the values it starts with.

    params, state: arrays by name, trained and kept between passes. rebuild: from such values what was wrapped,
    the pytree or the module. fixed: whether the rate of dropout is compiled in. label: what it is called.
    function: what takes the pytree, None where a module was wrapped.
    """

    program: Program
    params: Mapping[str, Any]
    state: Mapping[str, Any]
    rebuild: Callable[[Mapping[str, Any], Mapping[str, Any]], Any]
    fixed: bool
    label: str
    function: Callable[..., Any] | None = None

    def __deepcopy__(self, memo: Any) -> Functional:
        return self  # nothing in it changes

    def rate(self, drop: float | None) -> Any:
        """The rate as the program takes it."""
        if drop is None:
            return None
        if self.fixed:
            return Fixed(drop)
        return drop if isinstance(drop, jax.Array) else np.float32(drop)  # traced, it is float32 already


@dataclass(frozen=True)
class _Named:
    """The floating arrays of a pytree by their paths, and the way back."""

    arrays: dict[str, Any]
    rebuild: Callable[[Mapping[str, Any]], Any]


def named(tree: Any) -> _Named:
    """Name the floating arrays of a pytree; all else in it is constant. Raises ArgumentError where two paths read
    alike."""
    found, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") or "params" for path, _ in found]
    trained = [is_float(leaf) for _, leaf in found]
    arrays = {name: leaf for name, (_, leaf), kind in zip(names, found, trained, strict=True) if kind}
    constant = [None if kind else leaf for (_, leaf), kind in zip(found, trained, strict=True)]
    if len(arrays) != sum(trained):
        twice = sorted(name for name in arrays if names.count(name) > 1)
        raise ArgumentError(f"JaxWrapper: several parameters have the path {twice}: rename one")

    def rebuild(values: Mapping[str, Any]) -> Any:
        each = zip(names, constant, trained, strict=True)
        return structure.unflatten([values[name] if kind else leaf for name, leaf, kind in each])

    return _Named(arrays, rebuild)


def functional(function: Any, params: Any, vmap: bool) -> Functional:
    """Raises ArgumentError where `function` is nothing that can be called, or its params are missing."""
    if not callable(function):
        raise ArgumentError(
            f"JaxWrapper: give a function (params, X), or a module that can be called, got "
            f"{type(function).__name__}"
        )
    # A module of a library that has not been imported cannot have been made.
    for library, kind in (("equinox", "equinox"), ("flax.nnx", "nnx")):
        module_class = getattr(sys.modules.get(library), "Module", None)
        if module_class is not None and isinstance(function, module_class) and params is None:
            from importlib import import_module

            made: Functional = import_module(f"triops.models.wrappers.jax_{kind}").functional(function, vmap)
            return made
    if params is None:
        raise ArgumentError(
            "JaxWrapper: a function needs its params, a pytree of arrays, as in JaxWrapper(function, params); {} "
            "where it has none"
        )
    return _of_function(function, params, vmap)


def _of_function(function: Callable[..., Any], params: Any, vmap: bool) -> Functional:
    values = named(params)

    def call(arrays: Any, state: Any, X: Any, settings: Pass) -> tuple[Any, Any]:
        tree = values.rebuild(arrays)
        return apply(
            lambda *args, **options: function(tree, *args, **options), function, X, settings, vmap
        ), state

    def rebuild(arrays: Any, state: Any) -> Any:
        return values.rebuild(arrays)

    label = getattr(function, "__name__", type(function).__name__)
    return Functional(Program(call), values.arrays, {}, rebuild, fixed=False, label=label, function=function)


def apply(call: Callable[..., Any], signed: Any, X: Any, settings: Pass, vmap: bool) -> Any:
    """`call` of the inputs, and of what the signature of `signed` names: key, drop, train."""
    arguments = X if isinstance(X, list | tuple) else (X,)
    options = _options(signed, settings)
    if not vmap:
        return call(*arguments, **options)
    key = options.pop("key", None)
    if key is None:
        return jax.vmap(lambda *row: call(*row, **options))(*arguments)
    keys = jax.random.split(key, arguments[0].shape[0])
    return jax.vmap(lambda key, *row: call(*row, key=key, **options))(keys, *arguments)


def _options(function: Any, settings: Pass) -> dict[str, Any]:
    """What a function is given by keyword, as far as it names it."""
    try:
        names = set(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # builtins have none
        return {}
    drop = settings.drop.value if isinstance(settings.drop, Fixed) else settings.drop
    offered = {"drop": 0.0 if drop is None else drop, "train": drop is not None}
    if "key" in names:
        offered["key"] = jax.random.key(settings.seed)
    return {name: value for name, value in offered.items() if name in names}
