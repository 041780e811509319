"""What a case is here: an op as `triops.bench` measures it, and how each peer computes the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triops.bench.cases.op import OpCase

__all__ = ["Case", "Peers"]


@dataclass(frozen=True)
class Peers:
    """Each peer's function takes the peer's library, then the inputs in order, and returns an array or several;
    None where the peer has no such op."""

    thinc: Callable[..., Any] | None = None
    torch: Callable[..., Any] | None = None
    jax: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Case:
    """One op, for everyone."""

    op: OpCase
    peers: Peers

    @property
    def name(self) -> str:
        """The op's."""
        return self.op.name

    @property
    def shapes(self) -> Mapping[str, Sequence[tuple[int, ...]]]:
        """By size."""
        return self.op.shapes

    @property
    def triops(self) -> Callable[..., Any]:
        """Ours: it takes ops, then the inputs."""
        return self.op.call
