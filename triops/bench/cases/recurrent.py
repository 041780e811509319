"""LSTM and GRU of two layers in two directions, over a batch of sequences of 5 to 40 rows: inference, and forward
and backward."""

from __future__ import annotations

from math import prod
from typing import Any

from triops.bench.cases.arrays import SEED, floats, host
from triops.bench.cases.op import OpCase

__all__ = ["DEPTH", "DIRS", "GATES", "RECURRENT", "pieces", "starts"]

DEPTH, DIRS = 2, 2
GATES = {"lstm": 4, "gru": 3}
_SHAPES = {"small": [(4, 32, 16)], "typical": [(64, 128, 64)], "large": [(64, 128, 128)]}  # sequences, nI, nO


def pieces(kind: str, nI: int, nO: int) -> list[tuple[int, ...]]:
    """The shapes of Wx, bx, Wh, bh by layer and direction."""
    wide = GATES[kind] * nO
    return [
        shape
        for columns in [nI] * DIRS + [DIRS * nO] * ((DEPTH - 1) * DIRS)
        for shape in ((wide, columns), (wide,), (wide, nO), (wide,))
    ]


def _sizes(count: int) -> Any:
    np = host()
    lengths = np.random.default_rng(SEED).integers(5, 41, count)
    return (lengths > np.arange(lengths.max())[:, None]).sum(axis=1, dtype="int32")


def _inputs(kind: str, count: int, nI: int, nO: int) -> list[Any]:
    sizes = _sizes(count)
    rows = int(sizes.sum())
    params = floats(sum(map(prod, pieces(kind, nI, nO))), seed=1) / 10
    starts = host().zeros((DEPTH * DIRS, count, nO), "float32")  # of each sequence, as PyTorch has it
    return [floats(rows, nI), sizes, params, starts, floats(rows, DIRS * nO, seed=2)]


def _flops(kind: str, count: int, nI: int, nO: int) -> float:
    """Of the matrix products of a forward pass."""
    weights = sum(prod(shape) for shape in pieces(kind, nI, nO) if len(shape) == 2)
    return 2.0 * int(_sizes(count).sum()) * weights


def starts(kind: str, H: Any) -> tuple[Any, ...]:
    """The arguments that say what a network starts from, out of the starts of each sequence."""
    start = H[:, 0].reshape((DEPTH, DIRS, H.shape[2]))
    return (start, start) if kind == "lstm" else (start,)


def _forward_backward(kind: str, ops: Any, X: Any, sizes: Any, params: Any, H: Any, dY: Any) -> Any:
    Y, state = getattr(ops, f"{kind}_forward_training")(params, *starts(kind, H), X, sizes)
    return Y, *getattr(ops, f"backprop_{kind}")(dY, sizes, params, state)[:2]


def _inference(kind: str, ops: Any, X: Any, sizes: Any, params: Any, H: Any, dY: Any) -> Any:
    return getattr(ops, f"{kind}_forward_inference")(params, *starts(kind, H), X, sizes)


def _cases(kind: str) -> tuple[OpCase, ...]:
    def inputs(*shape: int) -> list[Any]:
        return _inputs(kind, *shape)

    return (
        OpCase(
            f"{kind}_inference",
            _SHAPES,
            inputs,
            lambda *args: _inference(kind, *args),
            reads=(0, 1, 2),
            flops=lambda *shape: _flops(kind, *shape),
        ),
        OpCase(
            f"{kind}_forward_backward",
            _SHAPES,
            inputs,
            lambda *args: _forward_backward(kind, *args),
            flops=lambda *shape: 3 * _flops(kind, *shape),
        ),
    )


RECURRENT: tuple[OpCase, ...] = (*_cases("lstm"), *_cases("gru"))
