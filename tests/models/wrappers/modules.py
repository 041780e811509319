"""Torch modules that the tests wrap, with their inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.models.samples import floats, ids
from triops import Ops

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
nn = torch.nn

__all__ = ["CASES", "Case", "Own", "linear", "mlp", "nn", "torch", "wrapped"]


class Own(nn.Module):
    """A module with code of its own: `function(X, p)` with a parameter p like the input."""

    def __init__(self, function: Callable[..., Any], shape: tuple[int, ...] = (2, 3), value: float = 0.5) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full(shape, value))
        self.function = function

    def forward(self, X: Any) -> Any:
        return self.function(X, self.p)


@dataclass(frozen=True)
class Case:
    """What makes the module, and what makes its input."""

    make: Callable[[], Any]
    inputs: Callable[[Ops], Any]

    def module(self) -> Any:
        """Always with the same weights."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.make()


def mlp() -> Any:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def linear() -> Any:
    return nn.Linear(3, 2)


def wrapped(make: Callable[[], Any] = mlp, **options: Any) -> Any:
    """A wrapper of a module that has the same weights each time."""
    from triops.models import PyTorchWrapper

    return PyTorchWrapper(Case(make, floats).module(), **options)


def _frozen_norm() -> Any:
    norm = nn.BatchNorm1d(4)
    norm(torch.linspace(-1, 2, 24).reshape(6, 4))
    return nn.Sequential(norm.eval(), nn.Linear(4, 2))


CASES = {
    "mlp": Case(mlp, lambda ops: floats(ops, 6, 4)),
    "gelu and layer norm": Case(
        lambda: nn.Sequential(nn.GELU(), nn.LayerNorm(4), nn.PReLU()), lambda ops: floats(ops, 6, 4)
    ),
    "conv": Case(lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.Sigmoid()), lambda ops: floats(ops, 2, 2, 7)),
    "conv, channels last": Case(
        lambda: nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last), lambda ops: floats(ops, 2, 2, 3, 3)
    ),
    "embedding": Case(lambda: nn.Embedding(9, 4), lambda ops: ids(ops, 6, below=9)),
    "embedding, sparse": Case(lambda: nn.Embedding(9, 4, sparse=True), lambda ops: ids(ops, 6, below=9)),
    "two inputs": Case(lambda: nn.Bilinear(3, 4, 2), lambda ops: [floats(ops, 5, 3), floats(ops, 5, 4, seed=2)]),
    "lstm": Case(lambda: nn.LSTM(3, 4), lambda ops: floats(ops, 5, 2, 3)),
    "batch norm": Case(lambda: nn.BatchNorm1d(4), lambda ops: floats(ops, 6, 4)),
    "batch norm in eval mode": Case(_frozen_norm, lambda ops: floats(ops, 6, 4)),
    "attention": Case(lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), lambda ops: floats(ops, 3, 2, 4)),
    "in place": Case(
        lambda: nn.Sequential(nn.SiLU(inplace=True), nn.Linear(4, 2), nn.SELU(inplace=True)),
        lambda ops: floats(ops, 6, 4),
    ),
    "own code": Case(lambda: Own(lambda X, p: (X * p).exp()), lambda ops: floats(ops, 2, 3)),
    "no parameters": Case(nn.Tanh, lambda ops: floats(ops, 6, 4)),
}
