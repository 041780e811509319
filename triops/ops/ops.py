"""The `Ops` object: every family of operations over one backend."""

from __future__ import annotations

from triops.ops.arrays import ArrayOps
from triops.ops.attention import AttentionOps
from triops.ops.bags import BagOps
from triops.ops.fused import FusedOps
from triops.ops.hashing import HashingOps
from triops.ops.losses import LossOps
from triops.ops.maxout import MaxoutOps
from triops.ops.normalization import NormalizationOps
from triops.ops.random import RandomOps
from triops.ops.recurrent import RecurrentOps
from triops.ops.reductions import ReductionOps
from triops.ops.sequences import SequenceOps
from triops.ops.softmax import SoftmaxOps
from triops.ops.updates import UpdateOps
from triops.ops.windows import WindowOps

__all__ = ["Ops"]


class Ops(
    FusedOps,
    SoftmaxOps,
    LossOps,
    NormalizationOps,
    MaxoutOps,
    BagOps,
    HashingOps,
    AttentionOps,
    ReductionOps,
    WindowOps,
    RecurrentOps,
    SequenceOps,
    RandomOps,
    UpdateOps,
    ArrayOps,
):
    """Array operations on one backend and one device; get one from `triops.get_ops`.

    Every operation returns its result and changes no argument. Floating arrays of one call share one
    dtype, float32 unless you chose another. Every operation raises ArrayOwnerError for an array of another
    backend or device, DTypeError for a dtype it is not for, and ShapeError for shapes that do not fit; the
    message names the op and the argument. NaN and infinity pass through as the formula says.
    """
