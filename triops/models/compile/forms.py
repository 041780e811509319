"""Batches as a list of arrays and a form: what is left when the arrays are taken out, which tells one program
from another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from triops.ops import Ops
from triops.ops.base import is_float
from triops.ragged import Padded, Ragged

__all__ = [
    "ARRAY",
    "Form",
    "axes_of",
    "gradients_of",
    "put_together",
    "signature",
    "take_apart",
    "with_gradients",
]


class Form(NamedTuple):
    """One item. kind: what it is. inside: the forms of its items. rest: what is no array, and what makes it
    different from others."""

    kind: type
    inside: tuple[Form, ...] = ()
    rest: Any = None


class _Array:
    """The kind of an array."""


class Places:
    """The integers that say where sequences lie, as a part of a form: equal where all values are."""

    def __init__(self, ops: Ops, arrays: Sequence[Any]) -> None:
        self.arrays = tuple(arrays)
        self._values = tuple(ops.to_numpy(array).tobytes() for array in arrays)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places) and self._values == other._values

    def __hash__(self) -> int:
        return hash(self._values)


ARRAY = Form(_Array)
_FLAT = [Form(tuple, (ARRAY,) * count) for count in range(3)]


def take_apart(ops: Ops, tree: Any) -> tuple[list[Any], Form]:
    """The arrays of a tree of lists, tuples, Ragged and Padded, in order, and its form. The integers of sequences
    belong to the form, unless they are traced. Raises ArrayOwnerError and DTypeError for what can be neither an
    array nor part of a form."""
    if type(tree) is tuple and all(map(ops.backend.is_array, tree)):
        return list(tree), _FLAT[len(tree)] if len(tree) < len(_FLAT) else Form(tuple, (ARRAY,) * len(tree))
    arrays: list[Any] = []

    def form_of(item: Any) -> Form:
        if ops.backend.is_array(item):
            arrays.append(item)
            return ARRAY
        if isinstance(item, list | tuple):
            return Form(type(item), tuple(map(form_of, item)))
        if isinstance(item, Ragged | Padded):
            data, integers = form_of(item.data), [getattr(item, field.name) for field in fields(item)[1:]]
            if any(map(ops.backend.is_traced, integers)):
                return Form(type(item), (data, *map(form_of, integers)))
            return Form(type(item), (data,), Places(ops, integers))
        try:
            hash(item)
        except TypeError:  # it cannot tell one program from another
            ops.check_owner("compile", "what a batch holds", item)
        return Form(type(item), (), item)

    return arrays, form_of(tree)


def axes_of(form: Form) -> list[int]:
    """The dimension along which each array has a batch's items: that of sequences lies second in Padded."""
    if form.kind is _Array:
        return [0]
    axes = [axis for inside in form.inside for axis in axes_of(inside)]
    return [1, *axes[1:]] if issubclass(form.kind, Padded) else axes


def put_together(form: Form, arrays: Sequence[Any]) -> Any:
    """The tree that was taken apart, with other arrays in it."""
    return _put(form, iter(arrays))


def signature(arrays: Sequence[Any]) -> tuple[Any, ...]:
    """The shapes and dtypes that a program is compiled for."""
    return tuple([(array.shape, array.dtype) for array in arrays])


def _put(form: Form, arrays: Iterator[Any]) -> Any:
    kind = form.kind
    if kind is _Array:
        return next(arrays)
    if issubclass(kind, Ragged | Padded):
        known = () if form.rest is None else form.rest.arrays
        return kind(*(_put(inside, arrays) for inside in form.inside), *known)
    if issubclass(kind, list | tuple):
        items = [_put(inside, arrays) for inside in form.inside]
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    return form.rest


def gradients_of(ops: Ops, Y: Any, dY: Any) -> list[Any]:
    """The gradient of each floating array of a tree, in order; zeros where there is None."""
    if isinstance(Y, list | tuple):
        items = [None] * len(Y) if dY is None else dY
        return [gradient for y, dy in zip(Y, items, strict=True) for gradient in gradients_of(ops, y, dy)]
    if isinstance(Y, Ragged | Padded):
        return gradients_of(ops, Y.data, None if dY is None else dY.data)
    if not ops.backend.is_array(Y) or not is_float(Y.dtype):
        return []
    return [ops.alloc(Y.shape, Y.dtype) if dY is None else dY]


def with_gradients(ops: Ops, Y: Any, gradients: Iterator[Any]) -> Any:
    """The tree with a gradient for each floating array, and None for what has none."""
    if isinstance(Y, list | tuple):
        items = [with_gradients(ops, y, gradients) for y in Y]
        return type(Y)(*items) if hasattr(Y, "_fields") else type(Y)(items)
    if isinstance(Y, Ragged | Padded):
        data = with_gradients(ops, Y.data, gradients)
        return None if data is None else replace(Y, data=data)
    return next(gradients) if ops.backend.is_array(Y) and is_float(Y.dtype) else None
