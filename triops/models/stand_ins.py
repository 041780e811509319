"""What runs in the place of some layers in this thread, as compiled parts of a model that is not compiled as a
whole. The model stays as it is, and no other thread notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from triops.scoped import Scoped
from triops.types import Backprop

__all__ = ["StandIn", "stand_in_for", "standing_in"]

StandIn: TypeAlias = Callable[[Any, Any], tuple[Any, Backprop]]  # X, drop -> Y, backprop


_by_id: Scoped[Mapping[int, StandIn] | None] = Scoped(None)


def stand_in_for(layer: Any) -> StandIn | None:
    """What to call instead of this very object's `begin_update`."""
    by_id = _by_id.get()
    return None if by_id is None else by_id.get(id(layer))


def standing_in(by_id: Mapping[int, StandIn] | None) -> AbstractContextManager[None]:
    """Let these stand in, by the `id()` of the layer, for a block; None for the layers themselves."""
    return _by_id.during(by_id)
