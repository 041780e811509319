"""What runs in the place of some layers in this thread, as compiled parts of a model that is not compiled as a
whole. The model stays as it is, and no other thread notices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from triops.types import Backprop

__all__ = ["StandIn", "stand_in_for", "standing_in"]

StandIn: TypeAlias = Callable[[Any, Any], tuple[Any, Backprop]]  # X, drop -> Y, backprop


class _Local(threading.local):
    by_id: Mapping[int, StandIn] | None = None


_local = _Local()


def stand_in_for(layer: Any) -> StandIn | None:
    """What to call instead of this very object's `begin_update`."""
    by_id = _local.by_id
    return None if by_id is None else by_id.get(id(layer))


@contextmanager
def standing_in(by_id: Mapping[int, StandIn] | None) -> Iterator[None]:
    """Let these stand in, by the `id()` of the layer, for a block; None for the layers themselves."""
    before, _local.by_id = _local.by_id, by_id
    try:
        yield
    finally:
        _local.by_id = before
