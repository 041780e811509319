"""The digits case: a multilayer perceptron on scikit-learn's handwritten digits (8 x 8 pixels, ten classes; a
part of Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from triops.bench.cases.arrays import SEED, formula_ops
from triops.bench.cases.case import ITEM_SIZES, Shape, Work
from triops.bench.extras import load_extra
from triops.models import Adam, CategoricalCrossentropy, Model, Relu, Softmax, chain
from triops.models.seeds import derive_seed
from triops.ops import Ops, get_ops, use_ops

__all__ = ["DIGITS", "Digits", "DigitsCase", "DigitsTraining"]

_PIXELS, _WIDTH, _CLASSES = 64, 128, 10
_TRAINED_ON = 1437  # of 1797; the other 360 are held out
_BRIGHTEST = 16
_LEARN_RATE = 0.003
_STEPS = 1100  # before the accuracy is taken, 100 epochs of batches of 128
# After so many, weights differ by rounding. Later a ReLU that rounding puts on the other side of zero makes some
# weight's gradient zero on one backend alone, and Adam turns that into a whole step: 0.06 after 1100 steps, with
# the accuracy the same.
_COMPARED_STEPS = 10
_WEIGHTS = _PIXELS * _WIDTH + _WIDTH * _WIDTH + _WIDTH * _CLASSES
_PASSED_THROUGH_ADAM = 7 + 3  # bytes of a weight, as in `ModelCase`


class DigitsCase:
    """Training steps of a 64-128-128-10 perceptron with Adam. What is found beside the time: `accuracy` on the
    held-out digits, from 0 to 1, after 1100 steps; the difference is the largest of any weight from the same
    training by the formulas in float64, after 10."""

    suite, name, version, tolerance = "train", "digits", 2, 1e-4
    shapes: Mapping[str, Sequence[Shape]] = {"small": [(32,)], "typical": [(128,)], "large": [(512,)]}

    def start(self, ops: Ops, dtype: str, shape: Shape) -> Work:
        """A training on its way, and others to see how well it goes."""
        digits = _digits(shape[0])
        training = DigitsTraining(digits, ops, dtype)
        work = Work(
            call=training.step,
            renew=training.next_batch,
            inputs=digits.batch(0),
            outputs=lambda: _train(digits, ops, dtype, work.found),
            references=lambda: _train(digits, formula_ops(), "float64"),
            compare=_largest,
            bytes_moved=lambda outputs: (
                ITEM_SIZES[dtype] * (_PASSED_THROUGH_ADAM * _WEIGHTS + 2 * shape[0] * _PIXELS)
            ),
            # Nothing asks for the gradient of the pixels.
            flops=2.0 * shape[0] * (3 * _WEIGHTS - _PIXELS * _WIDTH),
            samples=shape[0],
        )
        return work


DIGITS = DigitsCase()


@lru_cache(maxsize=2)
def _digits(batch_size: int) -> Digits:
    return Digits(batch_size)


class Digits:
    """The data, split and in the order in which every backend sees it. A batch has always as many digits, since
    JAX compiles for every length: what is left over of an epoch is left out, other digits each time."""

    def __init__(self, batch_size: int) -> None:
        data = load_extra("sklearn.datasets", "scikit-learn").load_digits()
        self.batch_size = batch_size
        self._X, self._y = data.data / _BRIGHTEST, data.target
        order = self._permutation("split", len(self._y))
        self._train, self._held_out = order[:_TRAINED_ON], order[_TRAINED_ON:]
        self._epoch_order = lru_cache(maxsize=1)(
            lambda epoch: self._train[self._permutation(f"epoch {epoch}", _TRAINED_ON)]
        )
        self._batches = _TRAINED_ON // batch_size

    def batch(self, step: int) -> tuple[Any, Any]:
        """The pixels and labels of a step, on the host."""
        epoch, i = divmod(step, self._batches)
        rows = self._epoch_order(epoch)[i * self.batch_size : (i + 1) * self.batch_size]
        return self._X[rows], self._y[rows]

    def held_out(self) -> tuple[Any, Any]:
        """The pixels and labels that are not trained on, on the host."""
        return self._X[self._held_out], self._y[self._held_out]

    def _permutation(self, what: str, n: int) -> Any:
        return get_ops("numpy").permutation(derive_seed(SEED, what), n)


class DigitsTraining:
    """One backend's model on its way through the steps, from the same bits of initial weights for every backend
    and dtype."""

    def __init__(self, digits: Digits, ops: Ops, dtype: str) -> None:
        self.digits, self.ops, self.dtype = digits, ops, dtype
        with use_ops(ops):
            model = chain(Relu(_WIDTH, _PIXELS), Relu(_WIDTH, _WIDTH), Softmax(_CLASSES, _WIDTH))
        self.model: Model = model.initialize(seed=SEED).astype(dtype)
        self.steps = 0
        self._loss = CategoricalCrossentropy()
        # The plain algorithm, as every framework has it: no clipping, no moving averages.
        self._optimizer = Adam(_LEARN_RATE, grad_clip=0.0, use_averages=False)
        self._params = [(node, name) for node in self.model.walk() for name in node.param_names]
        self.next_batch()

    def next_batch(self) -> None:
        """Bring the next step's batch to the device."""
        pixels, labels = self.digits.batch(self.steps)
        self._X, self._y = self.ops.asarray(pixels, dtype=self.dtype), self.ops.asarray(labels)
        self.ops.synchronize(self._X, self._y)

    def step(self) -> list[Any]:
        """Train on the batch: forward, loss, backward, Adam; the weights."""
        self.steps += 1
        Yh, backprop = self.model.begin_update(self._X)
        gradient, _ = self._loss(Yh, self._y)
        backprop(gradient, self._optimizer)
        return [node.get_param(name) for node, name in self._params]

    def weights(self) -> list[Any]:
        """A copy of every parameter, float64 on the host."""
        return [self.ops.to_numpy(node.get_param(name)).astype("float64") for node, name in self._params]

    def accuracy(self) -> float:
        """The share of the held-out digits that are recognised, from 0 to 1."""
        pixels, labels = self.digits.held_out()
        Yh = self.model.predict(self.ops.asarray(pixels, dtype=self.dtype))
        return float((self.ops.to_numpy(Yh).argmax(axis=1) == labels).mean())


def _train(digits: Digits, ops: Ops, dtype: str, found: dict[str, float] | None = None) -> list[Any]:
    """The weights after the steps that are compared; and the accuracy at the end, where it is asked for."""
    training = DigitsTraining(digits, ops, dtype)
    compared: list[Any] = []
    for step in range(1, 1 + (_COMPARED_STEPS if found is None else _STEPS)):
        training.step()
        training.next_batch()
        if step == _COMPARED_STEPS:
            compared = training.weights()
    if found is not None:
        found["accuracy"] = training.accuracy()
    return compared


def _largest(weights: Sequence[Any], references: Sequence[Any]) -> float:
    """The largest absolute difference of any weight, infinity where one is no number."""
    largest = max(float(abs(a - b).max()) for a, b in zip(weights, references, strict=True))
    return largest if largest == largest else float("inf")
