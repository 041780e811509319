"""What a call costs when there is next to nothing to compute: the way through the checks and the backend's
dispatch, and the way to the device and back."""

from __future__ import annotations

from typing import Any

from triops.bench.cases.arrays import floats
from triops.bench.cases.model import ModelCase
from triops.bench.cases.op import OpCase
from triops.models import Linear, Model, Relu, chain

__all__ = ["OVERHEAD"]

_TINY = {"small": [(1, 8)], "typical": [(1, 8)], "large": [(1, 8)]}
_COPIED = {"small": [(1, 8)], "typical": [(1000, 288)], "large": [(32000, 288)]}


def _two(*shape: int) -> list[Any]:
    return [floats(*shape), floats(shape[1], shape[1], seed=1)]


def _deep(rows: int, width: int) -> Model:
    return chain(*(Relu(width, width) for _ in range(6)))


def _one(*shape: int) -> Any:
    return floats(*shape)


OVERHEAD = (
    OpCase("relu_call", _TINY, lambda *shape: [floats(*shape)], lambda ops, X: ops.relu(X), suite="overhead"),
    OpCase("gemm_call", _TINY, _two, lambda ops, X, W: ops.gemm(X, W), suite="overhead"),
    OpCase(
        "there_and_back",
        _COPIED,
        lambda *shape: [floats(*shape)],
        lambda ops, X: ops.asarray(ops.to_numpy(X), X.dtype) + 0,
        suite="overhead",
    ),
    ModelCase("overhead", "predict_linear", "predict", _TINY, lambda rows, width: Linear(width, width), _one),
    ModelCase("overhead", "predict_6_layers", "predict", _TINY, _deep, _one),
    ModelCase("overhead", "step_6_layers", "train", _TINY, _deep, _one),
)
