"""What a thread sees of a model's parameters, gradients and state while the model is traced: other tables than
the model's own, so that nothing of a trace stays in the model, and no other thread notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["Tables", "is_traced_now", "seeing", "seen"]


class Tables:
    """The parameters, gradients and state of one node, under the names they have there."""

    def __init__(self, params: dict[str, Any], grads: dict[str, Any], state: dict[str, Any]) -> None:
        self._params, self._grads, self._state = params, grads, state


class _Local(threading.local):
    tables: Mapping[int, Tables] | None = None


_local = _Local()


def seen(node: Any) -> Any:
    """The tables of a node that this thread is to use: the node's own unless it is traced."""
    tables = _local.tables
    return node if tables is None else tables.get(node.id, node)


def is_traced_now() -> bool:
    """Whether this thread is tracing a model."""
    return _local.tables is not None


@contextmanager
def seeing(tables: Mapping[int, Tables] | None) -> Iterator[None]:
    """Use other tables, by the numbers of their nodes, for a block."""
    before, _local.tables = _local.tables, tables
    try:
        yield
    finally:
        _local.tables = before
