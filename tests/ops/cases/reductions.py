"""One row a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import DTypeError, ShapeError

__all__ = ["CASES"]

WIDTH = 5


def split(X: Any, lengths: Any) -> Iterator[Any]:
    """Each sequence as a list of rows."""
    rows = iter(X)
    for length in lengths.tolist():
        yield [next(rows) for _ in range(length)]


def reduce_sum(X: Any, lengths: Any) -> Any:
    columns = range(X.shape[1])
    return _matrix([[_add(row[j] for row in rows) for j in columns] for rows in split(X, lengths)], X.shape[1])


def reduce_mean(X: Any, lengths: Any) -> Any:
    return reduce_sum(X, lengths) / np.array([max(length, 1) for length in lengths.tolist()])[:, None]


def reduce_max(X: Any, lengths: Any) -> tuple[Any, Any]:
    which = [[_best([row[j] for row in rows]) for j in range(X.shape[1])] for rows in split(X, lengths)]
    best = [[rows[t][j] for j, t in enumerate(ts)] for rows, ts in zip(split(X, lengths), which, strict=True)]
    return _matrix(best, X.shape[1]), _matrix(which, X.shape[1]).astype("int32")


def reduce_first(X: Any, lengths: Any) -> tuple[Any, Any]:
    starts_ends = [sum(lengths.tolist()[:n]) for n in range(len(lengths) + 1)]
    firsts = _matrix([rows[0] for rows in split(X, lengths)], X.shape[1])
    return firsts, np.array(starts_ends, dtype="int32")


def reduce_last(X: Any, lengths: Any) -> tuple[Any, Any]:
    lasts = [sum(lengths.tolist()[: n + 1]) - 1 for n in range(len(lengths))]
    return _matrix([rows[-1] for rows in split(X, lengths)], X.shape[1]), np.array(lasts, dtype="int32")


def backprop_reduce_sum(d_sums: Any, lengths: Any, rows: Any = None) -> Any:
    spread = [row for row, length in zip(d_sums, lengths.tolist(), strict=True) for _ in range(length)]
    return _matrix(spread, d_sums.shape[1])


def backprop_reduce_mean(d_means: Any, lengths: Any, rows: Any = None) -> Any:
    pairs = zip(d_means, lengths.tolist(), strict=True)
    return _matrix([row / length for row, length in pairs for _ in range(length)], d_means.shape[1])


def backprop_reduce_max(d_maxes: Any, which: Any, lengths: Any, rows: Any = None) -> Any:
    dX, start = np.zeros((int(lengths.sum()), d_maxes.shape[1])), 0
    for n, length in enumerate(lengths.tolist()):
        for j in range(d_maxes.shape[1]):
            dX[start + int(which[n, j]), j] = d_maxes[n, j]
        start += length
    return dX


def backprop_reduce_first(d_firsts: Any, starts_ends: Any, rows: Any = None) -> Any:
    return _at(d_firsts, starts_ends.tolist()[:-1], int(starts_ends[-1]))


def backprop_reduce_last(d_lasts: Any, lasts: Any, rows: Any = None) -> Any:
    return _at(d_lasts, lasts.tolist(), int(lasts[-1]) + 1 if len(lasts) else 0)


def _at(d_rows: Any, places: list[int], rows: int) -> Any:
    dX = np.zeros((rows, d_rows.shape[1]))
    for row, place in zip(d_rows, places, strict=True):
        dX[place] = row
    return dX


def _add(numbers: Iterator[float]) -> float:
    values = list(numbers)
    return math.fsum(values) if np.isfinite(values).all() else sum(values)


def _best(numbers: list[float]) -> int:
    nans = [t for t, number in enumerate(numbers) if math.isnan(number)]
    return nans[0] if nans else numbers.index(max(numbers))


def _matrix(rows: list[Any], width: int) -> Any:
    return np.array(rows, dtype="float64").reshape(len(rows), width)


def ints(*numbers: int, dtype: str = "int64") -> Any:
    return np.array(numbers, dtype=dtype)


LENGTHS = (3, 1, 4, 2)
WITH_GAPS = (0, 3, 0, 0, 1, 4, 2, 0)
EXTREME = np.resize([1e30, -1e30, 1e-30, 88.0, 0.0, -1e15, 1e15], (10, WIDTH))
# 1e30 + 1e-30 - 1e30 depends on the order: one sign a column.
ONE_SIGN = np.abs(EXTREME)
NONFINITE = np.resize([math.nan, 1.0, math.inf, 0.5, 2.0, -math.inf, -1.0], (10, WIDTH))


def forward_samples(extreme: Any, gaps: bool) -> Callable[[np.random.Generator], dict[str, Sample]]:
    def samples(rng: np.random.Generator) -> dict[str, Sample]:
        def rows(count: int = 10, width: int = WIDTH) -> Any:
            return rng.normal(0, 1, (count, width))

        many = rng.integers(1, 40, 33)
        drawn = {
            dtype: Sample((rows(), ints(*LENGTHS, dtype=dtype)), dtypes=("float32",))
            for dtype in ("int8", "uint8", "int32", "uint32", "uint64")
        } | {
            "typical": Sample((rows(), ints(*LENGTHS)), dtypes=(*FULL, *HALF)),
            "ties": Sample((rng.integers(0, 2, (10, WIDTH)).astype("float64"), ints(*LENGTHS))),
            "one row": Sample((rows(1), ints(1)), dtypes=("float32",)),
            "one sequence": Sample((rows(9), ints(9))),
            "all of one row": Sample((rows(4), ints(1, 1, 1, 1)), dtypes=("float32",)),
            "one column": Sample((rows(10, 1), ints(*LENGTHS))),
            "many": Sample((rows(int(many.sum()), 33), many)),
            "empty": Sample((rows(0), ints())),
            "no column": Sample((rows(10, 0), ints(*LENGTHS)), dtypes=("float32",)),
            "transposed": Sample((rows(), ints(*LENGTHS)), layout=transposed),
            "strided": Sample((rows(), ints(*LENGTHS)), layout=strided),
            "mixed": Sample((rows(), ints(*LENGTHS)), layout=mixed),
            "extreme": Sample((extreme, ints(*LENGTHS))),
            "nonfinite": Sample((NONFINITE, ints(*LENGTHS)), finite=False),
        }
        if gaps:
            drawn["empty sequences"] = Sample((rows(), ints(*WITH_GAPS)))
            drawn["only empty sequences"] = Sample((rows(0), ints(0, 0, 0)))
        return drawn

    return samples


Places = Callable[[Any], Any]


def backward_samples(places: Places, gaps: bool, which: bool = False) -> Callable[..., dict[str, Sample]]:
    """Samples of a gradient that gets `places` of the lengths."""

    def samples(rng: np.random.Generator) -> dict[str, Sample]:
        def args(*lengths: int, width: int = WIDTH, data: Any = None, dtype: str = "int64") -> tuple[Any, ...]:
            counts = ints(*lengths, dtype=dtype)
            dY = rng.normal(0, 1, (len(lengths), width)) if data is None else data
            winners = np.array([rng.integers(0, max(n, 1), width) for n in lengths], "int32").reshape(
                len(lengths), width
            )
            return (dY, *((winners,) if which else ()), places(counts))

        total = sum(LENGTHS)
        many = rng.integers(1, 40, 33).tolist()
        drawn = {
            "typical": Sample((*args(*LENGTHS), total), dtypes=(*FULL, *HALF)),
            "rows not given": Sample(args(*LENGTHS)),
            "int32": Sample(args(*LENGTHS, dtype="int32"), dtypes=("float32",)),
            "uint8": Sample(args(*LENGTHS, dtype="uint8"), dtypes=("float32",)),
            "one row": Sample(args(1), dtypes=("float32",)),
            "one sequence": Sample(args(9)),
            "one column": Sample(args(*LENGTHS, width=1)),
            "many": Sample(args(*many, width=33)),
            "empty": Sample(args()),
            "no column": Sample(args(*LENGTHS, width=0), dtypes=("float32",)),
            "transposed": Sample(args(*LENGTHS), layout=transposed),
            "strided": Sample(args(*LENGTHS), layout=strided),
            "mixed": Sample(args(*LENGTHS), layout=mixed),
            "extreme": Sample(args(*LENGTHS, data=EXTREME[:4])),
            "nonfinite": Sample(args(*LENGTHS, data=NONFINITE[:4]), finite=False),
        }
        if gaps:
            drawn["empty sequences"] = Sample(args(*WITH_GAPS))
            drawn["only empty sequences"] = Sample((np.ones((3, WIDTH)), ints(0, 0, 0)))
        return drawn

    return samples


def as_lengths(lengths: Any) -> Any:
    return lengths


def as_starts_ends(lengths: Any) -> Any:
    return np.concatenate(([0], np.cumsum(lengths))).astype(lengths.dtype)


def as_lasts(lengths: Any) -> Any:
    return (np.cumsum(lengths) - 1).astype(lengths.dtype)


X = np.ones((10, WIDTH), dtype="float32")
Y = X[:4]
which = np.zeros((4, WIDTH), dtype="int32")
lengths = ints(*LENGTHS)


def bad_lengths(name: str, data: Any, *before: Any, empty: bool) -> tuple[BadCall, ...]:
    """Calls that are wrong in their lengths or their first argument."""
    short = () if len(data) == 4 else (
        BadCall("too short", (data, *before, ints(3, 1, 4, 1)), ShapeError, "number of rows, 10, got 9",
                looks_at_values=True),
        BadCall("too long", (data, *before, ints(3, 1, 4, 3)), ShapeError, "number of rows, 10, got 11",
                looks_at_values=True),
        BadCall("no sequence", (data, ints()), ShapeError, "number of rows, 10, got 0"),
    )  # fmt: skip
    counts = (
        ()
        if len(data) != 4
        else (
            BadCall(
                "another number of rows",
                (data, *before, lengths, 11),
                ShapeError,
                "number of rows, 11, got 10",
                looks_at_values=True,
            ),
            BadCall(
                "another number of lengths",
                (data, *before, ints(3, 7)),
                ShapeError,
                f"{name} must have one row for each of the 2 lengths",
            ),
        )
    )
    least = int(not empty)
    none = () if empty else (
        BadCall("an empty sequence", (data, *before, ints(0, 4, 4, 2)), ShapeError,
                "lengths must all be 1 or more, got 0: leave empty sequences out", looks_at_values=True),
    )  # fmt: skip
    return (
        *short,
        *counts,
        *none,
        BadCall(
            "negative", (data, *before, ints(-1, 5, 4, 2)), ShapeError, f"all be {least} or more, got -1",
            looks_at_values=True,
        ),
        BadCall("matrix of lengths", (data, *before, lengths[None]), ShapeError, "lengths must have 1 dimension"),
        BadCall("floats", (data, *before, Y[:, 0]), DTypeError, "lengths must be an integer array, got float32"),
        BadCall("integers", (data.astype("int32"), *before, lengths), DTypeError, f"{name} must be a floating"),
    )  # fmt: skip


def bad_places(name: str, argument: str, places: Any) -> tuple[BadCall, ...]:
    back = places[::-1].copy()
    return (
        BadCall("a vector", (Y[0], places), ShapeError, f"{name} must have 2 dimensions"),
        BadCall("too few", (Y[:3], places), ShapeError, f"{argument} must have shape"),
        BadCall("floats", (Y, places.astype("float32")), DTypeError, f"{argument} must be an integer array"),
        BadCall("integers", (which, places), DTypeError, f"{name} must be a floating array"),
        BadCall("backwards", (Y, back), ShapeError, "from 0 on and grow", looks_at_values=True),
        BadCall("below 0", (Y, places - 5), ShapeError, "from 0 on and grow", looks_at_values=True),
        BadCall("other rows", (Y, places, 9), ShapeError, "number of rows, 9, got 10", looks_at_values=True),
    )


RANK = BadCall("a vector", (X[0], lengths), ShapeError, "X must have 2 dimensions, got shape")
RANK_OF_WHICH = BadCall("shapes", (Y, which[:1], lengths), ShapeError, r"which must have shape \(4, 5\)")
WHICH_OF_FLOATS = BadCall("which of floats", (Y, Y, lengths), DTypeError, "which must be an integer array")
# Every row at least 0.1 from the others, so that a small step leaves the winner.
APART = np.random.default_rng(6).permutation(10 * WIDTH).reshape(10, WIDTH) * 0.1


def gradient(reduce: str, *, with_state: bool, lengths: Any = lengths, with_lengths: bool = True) -> Gradient:
    def forward(ops: Any, X: Any) -> Any:
        result = getattr(ops, reduce)(X, ops.asarray(lengths))
        return result[0] if with_state else result

    def backprop(ops: Any, dY: Any, X: Any) -> tuple[Any, ...]:
        counts = ops.asarray(lengths)
        state = getattr(ops, reduce)(X, counts)[1:] if with_state else ()
        return (getattr(ops, f"backprop_{reduce}")(dY, *state, *((counts,) if with_lengths else ())),)

    return Gradient(forward, (APART,), backprop)


GAPS = ints(*WITH_GAPS)

CASES = (
    OpCase("reduce_sum", reduce_sum, forward_samples(ONE_SIGN, True), (RANK, *bad_lengths("X", X, empty=True))),
    OpCase("reduce_mean", reduce_mean, forward_samples(ONE_SIGN, True), (RANK, *bad_lengths("X", X, empty=True))),
    OpCase("reduce_max", reduce_max, forward_samples(EXTREME, False), (RANK, *bad_lengths("X", X, empty=False))),
    OpCase(
        "reduce_first", reduce_first, forward_samples(EXTREME, False), (RANK, *bad_lengths("X", X, empty=False))
    ),
    OpCase(
        "reduce_last", reduce_last, forward_samples(EXTREME, False), (RANK, *bad_lengths("X", X, empty=False))
    ),
    OpCase(
        "backprop_reduce_sum",
        backprop_reduce_sum,
        backward_samples(as_lengths, gaps=True),
        bad_lengths("d_sums", Y, empty=True),
        {"": gradient("reduce_sum", with_state=False, lengths=GAPS)},
    ),
    OpCase(
        "backprop_reduce_mean",
        backprop_reduce_mean,
        backward_samples(as_lengths, gaps=True),
        bad_lengths("d_means", Y, empty=True),
        {"": gradient("reduce_mean", with_state=False, lengths=GAPS)},
    ),
    OpCase(
        "backprop_reduce_max",
        backprop_reduce_max,
        backward_samples(as_lengths, gaps=False, which=True),
        (RANK_OF_WHICH, WHICH_OF_FLOATS, *bad_lengths("d_maxes", Y, which, empty=False)[1:]),
        {"": gradient("reduce_max", with_state=True)},
    ),
    OpCase(
        "backprop_reduce_first",
        backprop_reduce_first,
        backward_samples(as_starts_ends, gaps=False),
        bad_places("d_firsts", "starts_ends", ints(0, 3, 4, 8, 10)),
        {"": gradient("reduce_first", with_state=True, with_lengths=False)},
    ),
    OpCase(
        "backprop_reduce_last",
        backprop_reduce_last,
        backward_samples(as_lasts, gaps=False),
        bad_places("d_lasts", "lasts", ints(2, 3, 7, 9)),
        {"": gradient("reduce_last", with_state=True, with_lengths=False)},
    ),
)
