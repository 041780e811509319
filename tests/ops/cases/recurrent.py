"""LSTM and GRU, sequence by sequence. Gradients are complex steps of the forward function: with an imaginary part
of 1e-30 there is nothing to cancel, and they are exact. Squire and Trapp 1998, Using Complex Variables to
Estimate Derivatives of Real Functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample, Tolerance
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["CASES", "GATES", "oracle", "parameter_count", "sizes_of", "slopes"]

GATES = {"lstm": 4, "gru": 3}
_STEP = 1e-30


def parameter_count(kind: str, depth: int, dirs: int, nO: int, nI: int) -> int:
    later = (depth - 1) * (dirs * nO + nO + 2)
    return GATES[kind] * nO * dirs * (nI + nO + 2 + later)


def oracle(kind: str, params: Any, starts: tuple[Any, ...], X: Any, sizes: Any) -> tuple[Any, tuple[Any, ...]]:
    """The output and what is kept. All but sizes may have a dimension in front, of independent calls."""
    depth, dirs, nO = starts[0].shape[-3:]
    front, rows = X.shape[:-2], X.shape[-2]
    dtype = np.result_type(params, X, *starts)
    steps = sizes.tolist()
    row_of = {(t, n): sum(steps[:t]) + n for t, size in enumerate(steps) for n in range(size)}
    hidden, cells = (np.zeros((*front, depth, rows, dirs, nO), dtype) for _ in range(2))
    gates = np.zeros((*front, depth, rows, dirs, 4, nO), dtype)
    below, at = X, 0
    for i in range(depth):
        for d in range(dirs):
            weights = []
            for columns in (below.shape[-1], 1, nO, 1):
                size = GATES[kind] * nO * columns
                weights.append(params[..., at : at + size].reshape(*front, GATES[kind], nO, columns))
                at += size
            for n in range(steps[0] if steps else 0):
                states = tuple(start[..., i, d, :] for start in starts)
                length = sum(size > n for size in steps)
                for t in range(length) if d == 0 else reversed(range(length)):
                    row = row_of[t, n]
                    states, kept = _cell(kind, below[..., row, :], states, weights)
                    hidden[..., i, row, d, :] = states[0]
                    cells[..., i, row, d, :] = states[-1]
                    gates[..., i, row, d, :, :] = kept
        below = hidden[..., i, :, :, :].reshape(*front, rows, dirs * nO)
    return below, (hidden, gates, *((cells,) if kind == "lstm" else ()), X, *starts)


def _cell(kind: str, x: Any, states: Any, weights: Any) -> tuple[Any, Any]:
    Wx, bx, Wh, bh = weights
    a = _product(Wx, x) + bx[..., 0]
    u = _product(Wh, states[0]) + bh[..., 0]
    if kind == "lstm":
        f, i, o, g = (function((a + u)[..., k, :]) for k, function in enumerate((_sigmoid,) * 3 + (np.tanh,)))
        c = f * states[1] + i * g
        return (o * np.tanh(c), c), np.stack((f, i, o, g), axis=-2)
    r, z = (_sigmoid(a[..., k, :] + u[..., k, :]) for k in range(2))
    new = np.tanh(a[..., 2, :] + r * u[..., 2, :])
    return ((1 - z) * new + z * states[0],), np.stack((r, z, new, u[..., 2, :]), axis=-2)


def _product(W: Any, x: Any) -> Any:
    return (W * x[..., None, None, :]).sum(axis=-1)


def _sigmoid(z: Any) -> Any:
    return 0.5 + 0.5 * np.tanh(0.5 * z)


def slopes(kind: str, dY: Any, sizes: Any, params: Any, starts: tuple[Any, ...], X: Any) -> tuple[Any, ...]:
    """The gradients of Σ dY Y by X, params and starts."""
    arrays = (X, params, *starts)
    total = sum(array.size for array in arrays)
    imaginary = iter(np.split(np.eye(total), np.cumsum([array.size for array in arrays])[:-1], axis=1))
    moved = [array + 1j * _STEP * next(imaginary).reshape(total, *array.shape) for array in arrays]
    Y, _ = oracle(kind, moved[1], tuple(moved[2:]), moved[0], sizes)
    totals = (dY * (Y.imag / _STEP)).sum(axis=(-2, -1))
    pieces = np.split(totals, np.cumsum([array.size for array in arrays])[:-1])
    return tuple(piece.reshape(array.shape) for piece, array in zip(pieces, arrays, strict=True))


# -- samples


def sizes_of(*lengths: int, dtype: str = "int64") -> Any:
    ordered = sorted(lengths, reverse=True)
    return np.array([sum(length > t for length in ordered) for t in range(max(lengths, default=0))], dtype)


LENGTHS = (3, 1, 4, 2)


def _network(
    kind: str, rng: np.random.Generator, sizes: Any, nI: int = 3, nO: int = 2, depth: int = 2, dirs: int = 2
) -> tuple[Any, tuple[Any, ...], Any]:
    """Parameters, starts and input."""
    starts = tuple(rng.normal(0, 1, (depth, dirs, nO)) for _ in range(2 if kind == "lstm" else 1))
    params = rng.normal(0, 0.7, parameter_count(kind, depth, dirs, nO, nI))
    return params, starts, rng.normal(0, 1, (int(sizes.sum()), nI))


SINGLE = ("float32",)
SHAPES: dict[str, dict[str, Any]] = {
    "one layer": {"depth": 1, "dirs": 1},
    "three layers": {"depth": 3, "dirs": 1},
    "two directions": {"depth": 1, "dirs": 2},
    "one column": {"nI": 1, "nO": 1},
    "wide": {"nI": 9, "nO": 33, "depth": 1, "dirs": 2},
}
SIZES = {
    "one row": sizes_of(1),
    "one sequence": sizes_of(6),
    "of one row each": sizes_of(1, 1, 1),
    "of equal lengths": sizes_of(3, 3, 3),
    "empty sequences": sizes_of(2, 0, 0, 3),
    "int32": sizes_of(*LENGTHS, dtype="int32"),
    "uint8": sizes_of(*LENGTHS, dtype="uint8"),
    "steps without rows": np.array([2, 1, 0, 0]),
    "empty": sizes_of(),
    "empty steps": np.array([0, 0]),
}
LAYOUTS = {"transposed": transposed, "strided": strided, "mixed": mixed}


def forward_samples(kind: str) -> Callable[[np.random.Generator], dict[str, Sample]]:
    def samples(rng: np.random.Generator) -> dict[str, Sample]:
        def args(sizes: Any, **shape: Any) -> tuple[Any, ...]:
            params, starts, X = _network(kind, rng, sizes, **shape)
            return params, *starts, X, sizes

        usual = sizes_of(*LENGTHS)
        params, *starts, X, _ = args(usual)
        spoiled = X.copy()
        spoiled[1, 0], spoiled[5, 2], spoiled[9, 1] = math.nan, math.inf, -math.inf
        large = np.resize([1e15, -3e15, 1e-15, 2e16, 0.0, -1e17, 88.0], X.shape)
        return {
            "typical": Sample((*args(usual), len(LENGTHS)), dtypes=(*FULL, *HALF)),
            **{label: Sample(args(usual, **shape), dtypes=SINGLE) for label, shape in SHAPES.items()},
            **{label: Sample(args(sizes, depth=1), dtypes=SINGLE) for label, sizes in SIZES.items()},
            **{label: Sample(args(usual), layout=layout) for label, layout in LAYOUTS.items()},
            "many": Sample(args(sizes_of(*rng.integers(1, 9, 17).tolist()), nO=4, depth=1), dtypes=SINGLE),
            "extreme": Sample((params, *starts, large, usual)),
            "nonfinite": Sample((params, *starts, spoiled, usual), finite=False),
        }

    return samples


def backward_samples(kind: str) -> Callable[[np.random.Generator], dict[str, Sample]]:
    def samples(rng: np.random.Generator) -> dict[str, Sample]:
        def args(sizes: Any, **shape: Any) -> tuple[Any, ...]:
            params, starts, X = _network(kind, rng, sizes, **shape)
            Y, state = oracle(kind, params, starts, X, sizes)
            return rng.normal(0, 1, Y.shape), sizes, params, state

        usual = sizes_of(*LENGTHS)
        single = args(sizes_of(1), nI=1, nO=1, depth=1, dirs=1)[1:]
        return {
            "typical": Sample((*args(usual), len(LENGTHS)), dtypes=FULL),
            **{
                label: Sample(args(usual, **shape), dtypes=SINGLE)
                for label, shape in SHAPES.items()
                if label != "wide"  # a complex step for each number
            },
            **{label: Sample(args(sizes, depth=1), dtypes=SINGLE) for label, sizes in SIZES.items()},
            **{label: Sample(args(usual), layout=layout) for label, layout in LAYOUTS.items()},
            "many": Sample(args(sizes_of(*rng.integers(1, 9, 17).tolist()), depth=1), dtypes=SINGLE),
            "extreme": Sample((np.full((1, 1), 1e15), *single), dtypes=SINGLE),
            "nonfinite": Sample((np.full((1, 1), math.nan), *single), dtypes=SINGLE, finite=False),
        }

    return samples


# -- calls that raise


def _float32(data: Any) -> Any:
    return tuple(map(_float32, data)) if isinstance(data, tuple) else data.astype("float32")


def _bad_sizes(call: Callable[[Any], tuple[Any, ...]]) -> tuple[BadCall, ...]:
    """Calls that are wrong in size_at_t, made by `call(sizes)`."""
    usual = sizes_of(*LENGTHS)
    return (
        BadCall(
            "sizes of floats", call(usual.astype("float32")), DTypeError, "size_at_t must be an integer array"
        ),
        BadCall("matrix of sizes", call(usual[None]), ShapeError, "size_at_t must have 1 dimension"),
        BadCall(
            "rising",
            call(usual[::-1].copy()),
            ShapeError,
            r"size_at_t must fall, .* sort by",
            looks_at_values=True,
        ),
        BadCall("below 0", call(np.array([6, 5, -1])), ShapeError, "not below 0, got", looks_at_values=True),
        BadCall("too few", call(usual[:-1]), ShapeError, "rows of X, 10, got 9", looks_at_values=True),
        BadCall("another number", (*call(usual), 5), ShapeError, "sequences, 5, got 4", looks_at_values=True),
    )


def _bad_forward(kind: str) -> tuple[BadCall, ...]:
    usual = sizes_of(*LENGTHS)
    params, starts, X = _float32(_network(kind, np.random.default_rng(1), usual))
    others = starts[1:]
    bad = [
        BadCall(
            "params of a matrix", (params[None], *starts, X, usual), ShapeError, "params must have 1 dimension"
        ),
        BadCall(
            "too few params",
            (params[1:], *starts, X, usual),
            ShapeError,
            r"params must have shape .*2 layers, 2",
        ),
        BadCall(
            "H0 of a matrix", (params, starts[0][0], *others, X, usual), ShapeError, "H0 must have 3 dimensions"
        ),
        BadCall(
            "no layer",
            (params, starts[0][:0], *others, X, usual),
            ShapeError,
            "H0 must have shape .*each 1 or more",
        ),
        BadCall("X of a vector", (params, *starts, X[0], usual), ShapeError, "X must have 2 dimensions"),
        BadCall(
            "integers", (params, *starts, X.astype("int32"), usual), DTypeError, "X must be a floating array"
        ),
        BadCall("dtypes", (params, *starts, X.astype("float64"), usual), DTypeError, "X is float64 and params"),
    ]
    if others:
        bad.append(BadCall("C0", (params, starts[0], starts[1][:1], X, usual), ShapeError, "C0 must have shape"))
    return (*bad, *_bad_sizes(lambda sizes: (params, *starts, X, sizes)))


def _bad_backward(kind: str) -> tuple[BadCall, ...]:
    usual = sizes_of(*LENGTHS)
    params, starts, X = _network(kind, np.random.default_rng(1), usual)
    Y, state = _float32(oracle(kind, params, starts, X, usual))
    params = _float32(params)
    gates = state[1]
    bad = [
        BadCall("dY", (Y[:, :1], usual, params, state), ShapeError, r"dY must have shape \(10, 4\)"),
        BadCall(
            "too few arrays", (Y, usual, params, state[1:]), ArgumentError, "arrays that .*_forward_training"
        ),
        BadCall("no state", (Y, usual, params, Y), ArgumentError, "fwd_state must be the . arrays"),
        BadCall(
            "dtype of Y", (Y, usual, params, (state[0].astype("float64"), *state[1:])), DTypeError, "Y is float64"
        ),
        BadCall(
            "hidden", (Y, usual, params, (state[0][:1], *state[1:])), ShapeError, r"fwd_state\[0\] must have"
        ),
        BadCall(
            "gates", (Y, usual, params, (state[0], gates[:1], *state[2:])), ShapeError, r"fwd_state\[1\] must"
        ),
        BadCall("params", (Y, usual, params[1:], state), ShapeError, "params must have shape"),
    ]
    if kind == "lstm":
        spoiled = (*state[:2], state[2][:1], *state[3:])
        bad.append(BadCall("cells", (Y, usual, params, spoiled), ShapeError, r"fwd_state\[2\] must have"))
    return (*bad, *_bad_sizes(lambda sizes: (Y, sizes, params, state)))


def _gradient(kind: str, *lengths: int, **shape: Any) -> Gradient:
    sizes = sizes_of(*lengths)
    params, starts, X = _network(kind, np.random.default_rng(2), sizes, **shape)

    def forward(ops: Any, X: Any, params: Any, *starts: Any) -> Any:
        return getattr(ops, f"{kind}_forward_inference")(params, *starts, X, ops.asarray(sizes))

    def backprop(ops: Any, dY: Any, X: Any, params: Any, *starts: Any) -> Any:
        places = ops.asarray(sizes)
        _, state = getattr(ops, f"{kind}_forward_training")(params, *starts, X, places)
        return getattr(ops, f"backprop_{kind}")(dY, places, params, state)

    return Gradient(forward, (X, params, *starts), backprop)


# Errors of a step go on into the next, and gradients add up over rows.
TOLERANCES = {"float64": Tolerance(1e-11, 1e-13), "float32": Tolerance(2e-5, 5e-6)}


def _cases(kind: str) -> tuple[OpCase, ...]:
    def training(params: Any, *rest: Any) -> Any:
        *starts, X, sizes = rest[: 4 if kind == "lstm" else 3]
        return oracle(kind, params, tuple(starts), X, sizes)

    def backward(dY: Any, sizes: Any, params: Any, state: Any, sequences: Any = None) -> Any:
        *_, X = state[: 4 if kind == "lstm" else 3]
        return slopes(kind, dY, sizes, params, state[4:] if kind == "lstm" else state[3:], X)

    gradients = {
        "": _gradient(kind, 3, 1, 2, nO=2, nI=1, depth=1),
        "layers": _gradient(kind, 2, 1, nO=2, nI=2, depth=2),
    }
    return (
        OpCase(
            f"{kind}_forward_training", training, forward_samples(kind), _bad_forward(kind), tolerances=TOLERANCES
        ),
        OpCase(
            f"{kind}_forward_inference",
            lambda *args: training(*args)[0],
            forward_samples(kind),
            _bad_forward(kind),
            tolerances=TOLERANCES,
        ),
        OpCase(
            f"backprop_{kind}",
            backward,
            backward_samples(kind),
            _bad_backward(kind),
            gradients,
            tolerances=TOLERANCES,
        ),
    )


CASES = (*_cases("lstm"), *_cases("gru"))
