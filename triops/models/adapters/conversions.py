"""How sequences of one kind become another. The way of most is through Ragged, whose rows are what a list holds
one after another, and what Padded holds side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from triops.errors import DTypeError, ShapeError
from triops.models.trees import described
from triops.ops import Ops
from triops.ops.bounds import bounds
from triops.ragged import Joined, Padded, Ragged

__all__ = [
    "ARRAY",
    "LIST",
    "PADDED",
    "RAGGED",
    "convert",
    "kind_of",
    "lengths_of",
    "rows_as_sequences",
    "rows_kept",
]

LIST, RAGGED, PADDED, ARRAY = "a list of arrays", "Ragged", "Padded", "an array"


def kind_of(ops: Ops, X: Any) -> str:
    """What X is. Raises DTypeError where it is none of the kinds."""
    if isinstance(X, Ragged):
        return RAGGED
    if isinstance(X, Padded):
        return PADDED
    if ops.backend.is_array(X):
        return ARRAY
    if isinstance(X, Joined):
        return LIST
    if isinstance(X, list | tuple) and all(map(ops.backend.is_array, X)):
        return LIST
    inside = f" of {type(X[0]).__name__}" if isinstance(X, list | tuple) and X else ""
    raise DTypeError(
        f"X must be {LIST}, {RAGGED}, {PADDED} or {ARRAY}, got {described(X)}{inside}: use ops.asarray"
    )


def convert(ops: Ops, X: Any, kind: str, like: Any = None) -> Any:
    """X as that kind, with the lengths and the order of `like` where that is of the kind, and as long."""
    came = kind_of(ops, X)
    if came == kind:
        return X
    if (came, kind) == (LIST, PADDED) and like is None and not isinstance(X, Joined):
        return ops.list2padded(X)
    if (came, kind) == (PADDED, LIST) and not ops.backend.is_traced(X.lengths):
        return ops.padded2list(X)
    return _FROM_RAGGED[kind](ops, _TO_RAGGED[came](ops, X), like)


def rows_kept(Y: Any, rows: int) -> Any:
    """Y, or ShapeError where a layer gave back another number of rows than it got."""
    if Y.shape[:1] != (rows,):
        raise ShapeError(
            f"the layer inside must return a row for each of its {rows} rows, got shape {tuple(Y.shape)}: use "
            f"with_list or with_ragged for layers that change the lengths"
        )
    return Y


def _list_to_ragged(ops: Ops, Xs: Sequence[Any]) -> Ragged:
    return Ragged(ops.flatten(Xs), lengths_of(ops, Xs))


def lengths_of(ops: Ops, Xs: Sequence[Any]) -> Any:
    """The lengths of the arrays of a list."""
    return Xs.lengths if isinstance(Xs, Joined) else ops.backend.asarray([X.shape[0] for X in Xs], "int32")


def rows_as_sequences(ops: Ops, X: Any) -> Any:
    """The lengths of what an array's rows are: one sequence, and one more of the rows that it was filled up with
    while compiling."""
    known = bounds()
    real = None if known is None else known.real(X.shape[0])
    if known is None or real is None:
        return ops.backend.asarray([X.shape[0]], "int32")
    return known.derive(ops.xp.stack([real, X.shape[0] - real]).astype("int32"), longest=X.shape[0])


def _array_to_ragged(ops: Ops, X: Any) -> Ragged:
    return Ragged(X, rows_as_sequences(ops, X))


def _ragged_to_array(ops: Ops, X: Ragged, like: Any) -> Any:
    return X.data


def _ragged_to_ragged(ops: Ops, X: Ragged, like: Ragged | None) -> Ragged:
    return Ragged(X.data, like.lengths) if like is not None and _as_long(ops, X, like.lengths) else X


def _ragged_to_list(ops: Ops, X: Ragged, like: Any) -> list[Any]:
    return ops.unflatten(X.data, X.lengths)


def _ragged_to_padded(ops: Ops, X: Ragged, like: Padded | None) -> Padded:
    if like is not None and len(like) == len(X) and not ops.backend.is_traced(X.lengths):
        lengths = ops.to_numpy(X.lengths)[ops.to_numpy(like.indices)]
        if (lengths == ops.to_numpy(like.lengths)).all():
            return Padded(ops.ragged2padded(X, like.indices).data, like.size_at_t, like.lengths, like.indices)
    if like is not None and ops.backend.is_traced(X.lengths):
        return Padded(ops.ragged2padded(X, like.indices).data, like.size_at_t, like.lengths, like.indices)
    return ops.ragged2padded(X)


def _as_long(ops: Ops, X: Ragged, lengths: Any) -> bool:
    if lengths.shape != X.lengths.shape:
        return False
    return not ops.can_look(lengths) or bool((ops.to_numpy(lengths) == ops.to_numpy(X.lengths)).all())


_TO_RAGGED: dict[str, Callable[[Ops, Any], Ragged]] = {
    LIST: _list_to_ragged,
    RAGGED: lambda ops, X: X,
    PADDED: lambda ops, X: ops.padded2ragged(X),
    ARRAY: _array_to_ragged,
}
_FROM_RAGGED: dict[str, Callable[[Ops, Ragged, Any], Any]] = {
    LIST: _ragged_to_list,
    RAGGED: _ragged_to_ragged,
    PADDED: _ragged_to_padded,
    ARRAY: _ragged_to_array,
}
