"""A table of vectors for any ids, by hashing."""

from __future__ import annotations

from typing import Any

from triops.errors import ArgumentError, ShapeError
from triops.models.initializers import Initializer, uniform_init
from triops.models.layers.dropout import Dropout
from triops.models.model import Model
from triops.types import Backprop, Floats2d

__all__ = ["HashEmbed"]


class HashEmbed(Model):
    """Y[i] = Σ E[keys mod nV] over the four 32-bit hashes of ids[i], then dropout. Two ids share a vector only
    where all four rows agree, so that nV may be far smaller than the vocabulary. Svenstrup, Hansen and Winther
    2017, Hash Embeddings for Efficient Word Representations, without their weights; as in Thinc.

    X: (N,) integer ids of any size, read as uint64, or (N, columns) where `column` says which. Y: (N, nO)
    floats. Parameter E: (nV, nO). The ids have no gradient: `backprop` returns None. seed: of the hashes, from
    0 to 2³²-1; the layer's number in this process where it is left out. It is saved with the model, in
    `attrs["seed"]`. dropout: the layer's own rate; the `drop` of `begin_update` leaves it alone.
    """

    full_precision = True

    def __init__(
        self,
        nO: int | None = None,
        nV: int | None = None,
        *,
        seed: int | None = None,
        column: int | None = None,
        initializer: Initializer | None = None,
        dropout: float | None = None,
    ) -> None:
        if seed is not None and not (hasattr(seed, "__index__") and 0 <= seed < 2**32):
            raise ArgumentError(f"HashEmbed: seed must be an integer from 0 to {2**32 - 1}, got {seed!r}")
        super().__init__(
            dims={"nO": nO, "nV": nV},
            layers=[Dropout(dropout or 0.0)],
            attrs={"column": column, "seed": self.id % 2**32 if seed is None else int(seed)},
        )
        self.add_param("E", ("nV", "nO"), initializer or uniform_init)

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        super().initialize_layers(None, None, seed)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        column = self.attrs["column"]
        self.check_ints(X, ndim=1 if column is None else 2)
        if column is not None and not -X.shape[1] <= column < X.shape[1]:
            raise ShapeError(f"X must have a column {column}, got shape {tuple(X.shape)}")
        ids = self.ops.asarray(X if column is None else X[:, column], dtype="uint64")
        E = self.get_param("E")
        nV = E.shape[0]
        rows = self.ops.hash(ids, self.attrs["seed"], nV)
        Y, backprop_dropout = self.layers[0].begin_update(self.ops.gather_add(E, rows), drop)

        def backprop(dY: Floats2d, sgd: Any = None) -> None:
            self.inc_grad("E", self.ops.backprop_gather_add(backprop_dropout(dY), rows, nV))

        return Y, backprop
