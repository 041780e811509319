"""Sums or means of a table's vectors over the ids of each sequence, by hashing."""

from __future__ import annotations

from typing import Any

from triops.errors import ArgumentError, DTypeError
from triops.models.adapters.conversions import ARRAY, RAGGED, convert, kind_of
from triops.models.initializers import Initializer, uniform_init
from triops.models.model import Model
from triops.types import Backprop, Floats2d

__all__ = ["HashEmbedBag"]


class HashEmbedBag(Model):
    """Y[n] = the mean (or sum) over the ids of sequence n of Σ E[keys mod nV], the four 32-bit hashes of an id,
    as `HashEmbed` followed by `reduce_mean` (or `reduce_sum`), without a row for each id in between; 0 for an
    empty sequence. Joulin et al. 2016, Bag of Tricks for Efficient Text Classification.

    X: Ragged of (T,) integer ids of any size, read as uint64, Padded, or a list of (Tₙ,) ids. Y: (N, nO)
    floats. Parameter E: (nV, nO). The ids have no gradient: `backprop` returns None. seed: of the hashes, from
    0 to 2³²-1, saved in `attrs["seed"]`. mode: "mean" or "sum".
    """

    full_precision = True

    def __init__(
        self,
        nO: int | None = None,
        nV: int | None = None,
        *,
        seed: int,
        mode: str = "mean",
        initializer: Initializer = uniform_init,
    ) -> None:
        if not hasattr(seed, "__index__") or not 0 <= seed < 2**32:
            raise ArgumentError(f"HashEmbedBag: seed must be an integer from 0 to {2**32 - 1}, got {seed!r}")
        if mode not in ("mean", "sum"):
            raise ArgumentError(f"HashEmbedBag: mode must be 'mean' or 'sum', got {mode!r}")
        super().__init__(dims={"nO": nO, "nV": nV}, attrs={"seed": int(seed), "mode": mode})
        self.add_param("E", ("nV", "nO"), initializer)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        ops, E, mean = self.ops, self.get_param("E"), self.attrs["mode"] == "mean"
        if kind_of(ops, X) == ARRAY:
            raise DTypeError("X must be Ragged or a list of arrays of ids, got an array: give Ragged(X, lengths)")
        if not len(X):
            return ops.alloc((0, E.shape[1]), E.dtype), lambda dY, sgd=None: None
        ragged = convert(ops, X, RAGGED)
        self.check_ints(ragged.data)
        rows = ops.hash(ops.asarray(ragged.data, dtype="uint64"), self.attrs["seed"], E.shape[0])

        def backprop(dY: Floats2d, sgd: Any = None) -> None:
            self.inc_grad("E", ops.backprop_embedding_bag(dY, rows, ragged.lengths, E.shape[0], mean=mean))

        return ops.embedding_bag(E, rows, ragged.lengths, mean=mean), backprop
