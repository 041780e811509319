"""What this machine can do at most in float32, as `triops.bench` measures it."""

from __future__ import annotations

from dataclasses import dataclass

from triops import get_ops
from triops.bench import ceilings

__all__ = ["Ceilings", "measure_ceilings"]


@dataclass(frozen=True)
class Ceilings:
    """Bytes a second, read and written together, by the bytes that are touched; float32 operations a second."""

    copy_bytes_s: dict[int, float]
    gemm_flops_s: float

    def seconds(self, moved: int, flops: float) -> float:
        """The least time for work that moves and computes that much: whichever takes longer."""
        return ceilings.Ceilings(self.copy_bytes_s, {"float32": self.gemm_flops_s}).seconds(moved, flops)


def measure_ceilings(quick: bool = False) -> Ceilings:
    """Both ceilings, on all the cores that this process may use."""
    found = ceilings.measure_ceilings(get_ops("numpy"), quick=quick)
    return Ceilings(found.copy_bytes_s, found.gemm_flops_s["float32"])
