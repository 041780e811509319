"""The rows around each row."""

from __future__ import annotations

from typing import Any

from triops.ops.formulas.registry import formula
from triops.ops.formulas.segments import segments_of, shifted, sum_type


@formula
def seq2col(xp: Any, X: Any, lengths: Any, *, nW: int) -> Any:
    neighbours = [_neighbour(xp, X, lengths, by) for by in range(-nW, nW + 1)]
    return xp.concatenate(neighbours, axis=1)


@formula
def backprop_seq2col(xp: Any, dY: Any, lengths: Any, *, nW: int) -> Any:
    width = dY.shape[1] // (2 * nW + 1)
    pieces = dY.astype(sum_type(dY.dtype))
    dX = pieces[:, nW * width : (nW + 1) * width]
    for by in (*range(-nW, 0), *range(1, nW + 1)):
        # Row t is the neighbour at `by` of row t - by.
        piece = pieces[:, (nW + by) * width : (nW + by + 1) * width]
        dX = dX + _neighbour(xp, piece, lengths, -by)
    return dX.astype(dY.dtype)


def _neighbour(xp: Any, X: Any, lengths: Any, by: int) -> Any:
    """X[t + by] where that row is of the same sequence, else 0."""
    if by == 0:
        return X
    there = shifted(xp, X, by)
    if lengths is None:
        return there
    segments = segments_of(xp, lengths, X.shape[0])
    # From 1, so that what is shifted in is no sequence.
    return xp.where((shifted(xp, segments + 1, by) == segments + 1)[:, None], there, 0)
