"""The digits case: a multilayer perceptron on scikit-learn's handwritten digits (8 x 8 pixels, ten classes; a
part of Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from triops.bench.extras import load_extra
from triops.bench.timing import timed
from triops.errors import ArgumentError
from triops.models import Adam, CategoricalCrossentropy, Model, Relu, Softmax, chain
from triops.models.seeds import derive_seed
from triops.ops import Ops, get_ops, use_ops
from triops.types import Array

__all__ = ["Digits", "DigitsSettings", "DigitsTraining"]

_PIXELS, _WIDTH, _CLASSES = 64, 128, 10
_TRAINED_ON = 1437  # of 1797; the other 360 are held out
_BRIGHTEST = 16


@dataclass(frozen=True)
class DigitsSettings:
    """What a run may vary. A batch has always `batch_size` digits, since JAX compiles for every length: what
    is left over of an epoch is left out, other digits each time. Raises ArgumentError."""

    epochs: int = 100
    batch_size: int = 128
    learn_rate: float = 0.003
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ArgumentError(f"epochs must be 1 or more, got {self.epochs}")
        if not 1 <= self.batch_size <= _TRAINED_ON:
            raise ArgumentError(
                f"batch size must be from 1 to {_TRAINED_ON}, the digits to train on, got {self.batch_size}"
            )
        if not (math.isfinite(self.learn_rate) and self.learn_rate > 0):
            raise ArgumentError(f"learn rate must be a finite number above 0, got {self.learn_rate}")
        if self.seed < 0:
            raise ArgumentError(f"seed must be 0 or more, got {self.seed}")


class Digits:
    """The data, split and in the order in which every backend sees it."""

    name = "digits"

    def __init__(self, settings: DigitsSettings) -> None:
        data = load_extra("sklearn.datasets", "scikit-learn").load_digits()
        self.settings = settings
        self._X, self._y = data.data / _BRIGHTEST, data.target
        order = self._permutation("split", len(self._y))
        self._train, self._held_out = order[:_TRAINED_ON], order[_TRAINED_ON:]
        self._epoch_order = lru_cache(maxsize=1)(
            lambda epoch: self._train[self._permutation(f"epoch {epoch}", _TRAINED_ON)]
        )
        self._batches = _TRAINED_ON // settings.batch_size
        self.steps = settings.epochs * self._batches

    @property
    def title(self) -> str:
        """One line that says what is trained."""
        s = self.settings
        return (
            f"digits: {_PIXELS}-{_WIDTH}-{_WIDTH}-{_CLASSES} perceptron, float32, {s.epochs} epochs = "
            f"{self.steps} steps of {s.batch_size} samples, Adam {s.learn_rate:g}, seed {s.seed}"
        )

    def batch(self, step: int) -> tuple[Any, Any]:
        """The pixels and labels of a step, on the host."""
        epoch, i = divmod(step, self._batches)
        size = self.settings.batch_size
        rows = self._epoch_order(epoch)[i * size : (i + 1) * size]
        return self._X[rows], self._y[rows]

    def held_out(self) -> tuple[Any, Any]:
        """The pixels and labels that are not trained on, on the host."""
        return self._X[self._held_out], self._y[self._held_out]

    def start(self, ops: Ops, dtype: str = "float32") -> DigitsTraining:
        """A training of its own, from the same bits of initial weights for every backend and dtype."""
        return DigitsTraining(self, ops, dtype)

    def _permutation(self, what: str, n: int) -> Any:
        return get_ops("numpy").permutation(derive_seed(self.settings.seed, what), n)


class DigitsTraining:
    """One backend's model on its way through the steps."""

    def __init__(self, case: Digits, ops: Ops, dtype: str) -> None:
        self.case = case
        self.ops = ops
        self.dtype = dtype
        with use_ops(ops):
            model = chain(Relu(_WIDTH, _PIXELS), Relu(_WIDTH, _WIDTH), Softmax(_CLASSES, _WIDTH))
        self.model: Model = model.initialize(seed=case.settings.seed).astype(dtype)
        self._loss = CategoricalCrossentropy()
        # The plain algorithm, as every framework has it: no clipping, no moving averages.
        self._optimizer = Adam(case.settings.learn_rate, grad_clip=0.0, use_averages=False)
        self._params = [(node, name) for node in self.model.walk() for name in node.param_names]

    def step(self, number: int) -> float:
        """Train on one batch: forward, loss, backward, Adam. Returns its seconds; the batch is on the device
        before the clock starts."""
        pixels, labels = self.case.batch(number)
        X, y = self.ops.asarray(pixels, dtype=self.dtype), self.ops.asarray(labels)
        self.ops.synchronize(X, y)

        def train() -> Iterable[Array]:
            Yh, backprop = self.model.begin_update(X)
            gradient, _ = self._loss(Yh, y)
            backprop(gradient, self._optimizer)
            return self._weights()

        return timed(self.ops, train)

    def weights(self) -> list[Any]:
        """A copy of every parameter, float64 on the host."""
        return [self.ops.to_numpy(weights).astype("float64") for weights in self._weights()]

    def accuracy(self) -> float:
        """The share of the held-out digits that are recognised, from 0 to 1."""
        pixels, labels = self.case.held_out()
        Yh = self.model.predict(self.ops.asarray(pixels, dtype=self.dtype))
        return float((self.ops.to_numpy(Yh).argmax(axis=1) == labels).mean())

    def _weights(self) -> list[Any]:
        return [node.get_param(name) for node, name in self._params]
