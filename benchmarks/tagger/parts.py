"""What a step of the tagger consists of, by the ops that do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ARITHMETIC", "HOST", "PART_OF", "PRODUCTS", "WAITS", "Profile", "ordered"]

PRODUCTS = "matrix products"
ARITHMETIC = "residuals, dropout, concatenation, loss"
HOST = "Python"
WAITS = "waits between instructions"

_OPS = {
    "hashes of the ids": ("hash", "remainder"),
    "embedding: gather": ("gather_add",),
    "embedding: scatter of the gradient": ("backprop_gather_add",),
    "windows": ("seq2col", "backprop_seq2col"),
    "maxout, beside its products": ("affine_maxout", "backprop_affine_maxout", "affine", "backprop_affine"),
    "layer normalisation": ("layer_norm", "backprop_layer_norm"),
    "dropout masks": ("dropout_mask",),
    "softmax": ("softmax",),
    "clipping, Adam, averages": ("clip_gradient", "adam", "update_averages"),
}
PART_OF = {op: part for part, ops in _OPS.items() for op in ops}


@dataclass
class Profile:
    """The seconds of a step by part, as far as they are known; of the whole step, with and without what measures
    the parts. rest: what else there is in a step."""

    parts_s: dict[str, float]
    whole_s: float
    alone_s: float
    rest: str

    @property
    def rest_s(self) -> float:
        """What is in no part."""
        return self.whole_s - sum(self.parts_s.values())


def ordered(profiles: Mapping[str, Profile]) -> list[str]:
    """Every part, the largest of any first."""
    parts = dict.fromkeys(part for profile in profiles.values() for part in profile.parts_s)
    return sorted(parts, key=lambda part: -max(p.parts_s.get(part, 0.0) for p in profiles.values()))
