"""What a thread sees of a model's parameters, gradients and state while the model is traced: other tables than
the model's own, so that nothing of a trace stays in the model, and no other thread notices."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from triops.scoped import Scoped

__all__ = ["Tables", "is_traced_now", "seeing", "seen"]


class Tables:
    """The parameters, gradients and state of one node, under the names they have there."""

    def __init__(self, params: dict[str, Any], grads: dict[str, Any], state: dict[str, Any]) -> None:
        self._params, self._grads, self._state = params, grads, state


_tables: Scoped[Mapping[int, Tables] | None] = Scoped(None)


def seen(node: Any) -> Any:
    """The tables of a node that this thread is to use: the node's own unless it is traced."""
    tables = _tables.get()
    return node if tables is None else tables.get(node.id, node)


def is_traced_now() -> bool:
    """Whether this thread is tracing a model."""
    return _tables.get() is not None


def seeing(tables: Mapping[int, Tables] | None) -> AbstractContextManager[None]:
    """Use other tables, by the numbers of their nodes, for a block."""
    return _tables.during(tables)
