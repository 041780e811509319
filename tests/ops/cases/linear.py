"""Matrix products, and sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.ops.cases.case import FULL, HALF, BadCall, Gradient, OpCase, Sample, Tolerance
from tests.ops.cases.layouts import mixed, strided, transposed
from triops.errors import DTypeError, ShapeError

__all__ = ["CASES"]

SUMS = {"float32": Tolerance(1e-5, 2e-5)}  # of some hundred products


def product(X: Any, Y: Any, trans1: bool = False, trans2: bool = False) -> Any:
    rows = X.T.tolist() if trans1 else X.tolist()
    columns = Y.tolist() if trans2 else Y.T.tolist()
    Z = [[sum((x * y for x, y in zip(r, c, strict=True)), 0.0) for c in columns] for r in rows]
    return np.array(Z, dtype="float64").reshape(len(rows), len(columns))


def affine(X: Any, W: Any, b: Any) -> Any:
    return product(X, W, trans2=True) + b


def backprop_affine(dY: Any, X: Any, W: Any) -> tuple[Any, Any, Any]:
    return product(dY, W), product(dY, X, trans1=True), dY.sum(axis=0)


def _factors(rng: np.random.Generator, M: int, K: int, N: int) -> tuple[Any, Any]:
    return rng.normal(0, 1, (M, K)), rng.normal(0, 1, (K, N))


def _gemm_samples(rng: np.random.Generator) -> dict[str, Sample]:
    X, Y = _factors(rng, 3, 5, 4)
    large = np.resize([1e30, -1e-30, 1e15, 88.0, 0.0], (3, 5))
    inverse = np.tile([[1e-30], [1e30], [-1e-15], [1e-3], [1e30]], 4)
    nonfinite = np.ones((3, 5))
    nonfinite[0, 1], nonfinite[1, 2] = math.nan, math.inf
    samples = {
        "typical": Sample((X, Y), dtypes=(*FULL, *HALF)),
        "one row": Sample(_factors(rng, 1, 1, 1)),
        "odd sizes": Sample(_factors(rng, 17, 33, 9), dtypes=("float32",)),
        "empty": Sample(_factors(rng, 0, 5, 4), dtypes=("float32",)),
        "empty K": Sample(_factors(rng, 3, 0, 4), dtypes=("float32",)),
        "empty N": Sample(_factors(rng, 3, 5, 0), dtypes=("float32",)),
        "extreme": Sample((large, inverse)),
        "nonfinite": Sample((nonfinite, np.ones((5, 4))), finite=False),
    }
    layouts = {"plain": None, "transposed": transposed, "strided": strided, "mixed": mixed}
    for trans1, trans2 in ((False, False), (True, False), (False, True), (True, True)):
        args = (X.T if trans1 else X, Y.T if trans2 else Y)
        for label, layout in layouts.items():
            how = {"layout": layout} if layout else {}
            settings = {"trans1": trans1, "trans2": trans2}
            samples[f"{label} trans1={trans1} trans2={trans2}"] = Sample(args, settings, **how)
    return samples


def batched(X: Any, Y: Any, trans1: bool = False, trans2: bool = False) -> Any:
    Z = [product(x, y, trans1, trans2) for x, y in zip(X, Y, strict=True)]
    return np.array(Z).reshape(len(X), X.shape[2 if trans1 else 1], Y.shape[1 if trans2 else 2])


def _pair_samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(*shape: int) -> tuple[Any, Any]:
        return rng.normal(0, 1, shape), rng.normal(0, 1, shape)

    return {
        "typical": Sample(args(3, 5), dtypes=(*FULL, *HALF)),
        "single number": Sample(args()),
        "three dimensions": Sample(args(2, 3, 5), dtypes=("float32",)),
        "odd sizes": Sample(args(17, 33), dtypes=("float32",)),
        "large": Sample(args(301, 501), dtypes=("float32",)),
        "empty": Sample(args(0, 5), dtypes=("float32",)),
        "transposed": Sample(args(3, 5), layout=transposed),
        "strided": Sample(args(3, 5), layout=strided),
        "mixed": Sample(args(3, 5), layout=mixed),
        "extreme": Sample((np.array([1e30, -1e-30, 88.0, 0.0]), np.array([1.0, -1e-30, 1e30, 0.0]))),
        "nonfinite": Sample(
            (np.array([math.nan, math.inf, math.inf]), np.array([1.0, 1.0, -math.inf])), finite=False
        ),
    }


def _stack_samples(rng: np.random.Generator) -> dict[str, Sample]:
    """Those of gemm, each with a second pair of matrices."""
    samples = {}
    for label, sample in _gemm_samples(rng).items():
        args = tuple(np.stack([arg, 0.5 * arg]) for arg in sample.args)
        samples[label] = replace(sample, args=args)
    none = tuple(arg[:0] for arg in samples["typical"].args)
    return samples | {"empty stack": Sample(none, dtypes=("float32",))}


def _of_affine(args: Callable[..., tuple[Any, ...]], **special: Sample) -> dict[str, Sample]:
    """Samples of arguments that are drawn by N, nI and nO, and some of their own."""
    return {
        "typical": Sample(args(3, 5, 4), dtypes=(*FULL, *HALF)),
        "one row": Sample(args(1, 5, 4)),
        "odd sizes": Sample(args(17, 33, 9), dtypes=("float32",)),
        "empty": Sample(args(0, 5, 4), dtypes=("float32",)),
        "empty nI": Sample(args(3, 0, 4), dtypes=("float32",)),
        "empty nO": Sample(args(3, 5, 0), dtypes=("float32",)),
        "transposed": Sample(args(3, 5, 4), layout=transposed),
        "strided": Sample(args(3, 5, 4), layout=strided),
        "mixed": Sample(args(3, 5, 4), layout=mixed),
        **special,
    }


def _affine_samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(N: int, nI: int, nO: int) -> tuple[Any, ...]:
        return rng.normal(0, 1, (N, nI)), rng.normal(0, 1, (nO, nI)), rng.normal(0, 1, nO)

    large = np.resize([1e30, -1e-30, 1e15, 88.0, 0.0], (3, 5))
    inverse = np.resize([1e-30, 1e30, -1e-15, 1e-3, 1e30], (4, 5))
    nonfinite = np.ones((3, 5))
    nonfinite[0, 1], nonfinite[1, 2] = math.nan, math.inf
    return _of_affine(
        args,
        extreme=Sample((large, inverse, np.array([88.0, -1e30, 1e-30, 0.0]))),
        nonfinite=Sample((nonfinite, np.ones((4, 5)), np.array([0.5, math.inf, 1.0, 1.0])), finite=False),
    )


def _backprop_affine_samples(rng: np.random.Generator) -> dict[str, Sample]:
    def args(N: int, nI: int, nO: int) -> tuple[Any, ...]:
        return rng.normal(0, 1, (N, nO)), rng.normal(0, 1, (N, nI)), rng.normal(0, 1, (nO, nI))

    large = np.resize([1e15, 1e-15, 88.0, 0.0, 1e-30], (3, 4))  # of one sign, so that sums do not cancel
    nonfinite = np.ones((3, 4))
    nonfinite[0, 1], nonfinite[1, 2] = math.nan, math.inf
    return _of_affine(
        args,
        slices=Sample(args(200, 60, 40), dtypes=("float32",)),
        extreme=Sample((large, np.resize([1e-15, 1e15, 1e-3], (3, 5)), np.resize([1e15, 1e-3], (4, 5)))),
        nonfinite=Sample((nonfinite, np.ones((3, 5)), np.ones((4, 5))), finite=False),
    )


X32, Y32, b32, dY32 = (np.ones(shape, dtype="float32") for shape in ((3, 5), (5, 4), (4,), (3, 4)))
AGREE = r"got X \(3, 5\) and Y \(4, 5\)"

CASES = (
    OpCase(
        "add",
        lambda X, Y: X + Y,
        _pair_samples,
        (
            BadCall("shapes", (X32, X32[:1]), ShapeError, r"Y must have shape \(3, 5\) \(as X\), got \(1, 5\)"),
            BadCall("dtypes", (X32, X32.astype("float64")), DTypeError, "Y is float64 and X is float32"),
            BadCall("integers", (X32.astype("int32"),) * 2, DTypeError, "X must be a floating array, got int32"),
        ),
    ),
    OpCase(
        "gemm",
        product,
        _gemm_samples,
        (
            BadCall("inner sizes", (X32, Y32.T), ShapeError, f"share their inner dimension, {AGREE}"),
            BadCall(
                "inner sizes, transposed",
                (X32, Y32),
                ShapeError,
                r"X \(3, 5\) transposed and Y \(5, 4\): transpose",
                {"trans1": True},
            ),
            BadCall("a vector", (X32, Y32[:, 0]), ShapeError, "must be matrices"),
            BadCall("a stack", (X32[None], Y32), ShapeError, "must be matrices"),
            BadCall("two dtypes", (X32, Y32.astype("float64")), DTypeError, "Y is float64 and X is float32"),
            BadCall("integers", (X32.astype("int64"), Y32), DTypeError, "X must be a floating array, got int64"),
        ),
        {
            "": Gradient(
                lambda ops, X, Y: ops.gemm(X, Y),
                _factors(np.random.default_rng(1), 3, 5, 4),
                lambda ops, dY, X, Y: (ops.gemm(dY, Y, trans2=True), ops.gemm(X, dY, trans1=True)),
            )
        },
    ),
    OpCase(
        "batched_gemm",
        batched,
        _stack_samples,
        (
            BadCall("inner sizes", (X32[None], Y32.T[None]), ShapeError, "share their inner dimension, got X"),
            BadCall(
                "inner sizes, transposed",
                (X32[None], Y32[None]),
                ShapeError,
                r"X \(1, 3, 5\) transposed and Y \(1, 5, 4\): transpose",
                {"trans1": True},
            ),
            BadCall("a matrix", (X32, Y32[None]), ShapeError, "must be equally long stacks"),
            BadCall("lengths", (np.stack([X32, X32]), Y32[None]), ShapeError, "must be equally long stacks"),
            BadCall("two dtypes", (X32[None], Y32[None].astype("float64")), DTypeError, "Y is float64"),
        ),
        {
            "": Gradient(
                lambda ops, X, Y: ops.batched_gemm(X, Y),
                tuple(np.random.default_rng(3).normal(0, 1, shape) for shape in ((2, 3, 5), (2, 5, 4))),
                lambda ops, dY, X, Y: (
                    ops.batched_gemm(dY, Y, trans2=True),
                    ops.batched_gemm(X, dY, trans1=True),
                ),
            )
        },
    ),
    OpCase(
        "affine",
        affine,
        _affine_samples,
        (
            BadCall("widths", (X32, Y32, b32), ShapeError, r"agree in nI, got X \(3, 5\) and W \(5, 4\)"),
            BadCall("a vector", (X32[0], Y32.T, b32), ShapeError, "must agree in nI"),
            BadCall("b too long", (X32, Y32.T, np.ones(5, "float32")), ShapeError, r"b must have shape \(4,\)"),
            BadCall("b a matrix", (X32, Y32.T, b32[None]), ShapeError, "one for each row of W"),
            BadCall("two dtypes", (X32, Y32.T, b32.astype("float64")), DTypeError, "b is float64 and X is"),
            BadCall("integers", (X32, Y32.T.astype("int32"), b32), DTypeError, "W must be a floating array"),
        ),
    ),
    OpCase(
        "backprop_affine",
        backprop_affine,
        _backprop_affine_samples,
        (
            BadCall("rows", (dY32, X32[:2], Y32.T), ShapeError, r"X must have shape \(3, 5\) \(a row for each"),
            BadCall("widths", (dY32, X32, Y32), ShapeError, r"W must have shape \(4, 5\) \(from the columns"),
            BadCall("a vector", (b32, X32, Y32.T), ShapeError, "dY must have 2 dimensions"),
            BadCall("two dtypes", (dY32, X32, Y32.T.astype("float64")), DTypeError, "W is float64 and dY is"),
            BadCall("integers", (dY32.astype("int32"), X32, Y32.T), DTypeError, "dY must be a floating array"),
        ),
        {
            "": Gradient(
                lambda ops, X, W, b: ops.affine(X, W, b),
                tuple(np.random.default_rng(2).normal(0, 1, shape) for shape in ((3, 5), (4, 5), (4,))),
                lambda ops, dY, X, W, b: ops.backprop_affine(dY, X, W),
            )
        },
        tolerances=SUMS,
    ),
)
