"""A case of a whole model or layer: what it takes to predict, to go forward and backward, or to train a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from triops.bench.cases.arrays import compare_norms, floats, formula_ops, widened
from triops.bench.cases.case import ITEM_SIZES, Shape, Work
from triops.models import Adam, CategoricalCrossentropy, Model
from triops.models.trees import leaves, map_arrays
from triops.ops import Ops, use_ops
from triops.ops.base import is_float
from triops.ragged import Padded, Ragged

__all__ = ["ModelCase", "ModelRun", "placed_tree"]

_SEED = 0
_SHAKEN = 0.1
# Bytes that have to move at least, in units of the floats in the input, the output and the weights: each is read
# or written once, forward, backward, and by Adam.
_MOVED = {"predict": (1, 1, 1), "both": (3, 2, 3), "train": (3, 2, 3 + 7)}


@dataclass(frozen=True)
class ModelCase:
    """A model at its shapes.

    build: of the shape's extents, a model bound to the current ops. inputs: its input, on the host: an array, a
    list, Ragged or Padded. labels: classes to train towards, on the host, for the suite "train". flops: of the
    products of a forward pass. passes: "predict", "both" (forward and backward), or "train" (both, with the loss
    and Adam).
    """

    suite: str
    name: str
    passes: Literal["predict", "both", "train"]
    shapes: Mapping[str, Sequence[Shape]]
    build: Callable[..., Model]
    inputs: Callable[..., Any]
    labels: Callable[..., Any] | None = None
    flops: Callable[..., float] = lambda *shape: 0.0
    tolerance: float = 0.01  # of what `compare_norms` calls the difference; a ReLU's bend costs some
    version: int = 1

    def start(self, ops: Ops, dtype: str, shape: Shape) -> Work:
        """The model, initialized, with its input on the device."""
        X, predicts = self.inputs(*shape), self.passes == "predict"
        labels = None if self.labels is None else self.labels(*shape)
        run = ModelRun(self.build, shape, X, labels, ops, dtype)
        host_X = map_all(ops.to_numpy, run.X)  # as the device has it
        counts = (_size(X), _size(run.dY), run.model.count_params())

        def references() -> list[Any]:
            return ModelRun(self.build, shape, host_X, labels, formula_ops(), "float64").check(predicts)

        return Work(
            call=getattr(run, self.passes),
            inputs=leaves(X),
            # Of models of their own: the one that is timed may have been trained by then.
            outputs=lambda: ModelRun(self.build, shape, X, labels, ops, dtype).check(predicts),
            references=references,
            compare=compare_norms,
            bytes_moved=lambda outputs: ITEM_SIZES[dtype] * _sum_of_products(counts, _MOVED[self.passes]),
            flops=float(self.flops(*shape)) * (1 if self.passes == "predict" else 3),
            samples=len(X),
        )


class ModelRun:
    """One model on one backend, from the same bits of initial weights wherever it runs."""

    def __init__(
        self, build: Callable[..., Model], shape: Shape, X: Any, labels: Any, ops: Ops, dtype: str
    ) -> None:
        self.ops = ops
        with use_ops(ops):
            model = build(*shape)
        self.X = placed_tree(ops, X, dtype)
        # From float32 draws, and a float32 sample: rounded to another dtype, they are the same weights.
        self.model = model.initialize(placed_tree(ops, X, "float32"), seed=_SEED)
        self._labels = None if labels is None else ops.asarray(labels)
        self._loss, self._optimizer = CategoricalCrossentropy(), Adam(0.001, grad_clip=0.0, use_averages=False)
        self._params = [(node, name) for node in self.model.walk() for name in node.param_names]
        self._shake(dtype)
        self.dY = map_arrays(self._gradient_like, self.model.predict(self.X))
        ops.synchronize(*leaves(self.X), *leaves(self.dY))

    def predict(self) -> Any:
        """Y, as arrays."""
        return leaves(self.model.predict(self.X))

    def both(self) -> Any:
        """Forward and backward from a fixed gradient: dX and the gradients, as arrays."""
        _, backprop = self.model.begin_update(self.X)
        dX = backprop(self.dY)
        gradients = [node.get_grad(name) for node, name in self._params if node.has_grad(name)]
        self.model.clear_grads()
        return [*_arrays(dX), *gradients]

    def train(self) -> Any:
        """A step: forward, loss, backward and Adam; the weights."""
        Y, backprop = self.model.begin_update(self.X)
        if self._labels is None:
            gradient = map_arrays(lambda array: array * (1 / len(array)), Y)  # of ‖Y‖² / 2n
        else:
            gradient, _ = self._loss(Y, self._labels)
        backprop(gradient, self._optimizer)
        return [node.get_param(name) for node, name in self._params]

    def check(self, predicts: bool) -> list[Any]:
        """Y, and where the model is not only to predict, dX and the gradients; float64 on the host."""
        found = [*self.predict(), *(() if predicts else self.both())]
        return [widened(self.ops.to_numpy(array)).astype("float64") for array in found]

    def _shake(self, dtype: str) -> None:
        """Output layers start from zeros, behind which nobody would see a wrong gradient."""
        for seed, (node, name) in enumerate(self._params, 1):
            value = self.ops.to_numpy(node.get_param(name))
            node.set_param(name, self.ops.asarray(value + _SHAKEN * floats(*value.shape, seed=seed), dtype))

    def _gradient_like(self, Y: Any) -> Any:
        return self.ops.asarray(floats(*Y.shape, seed=3), Y.dtype)


def map_all(function: Callable[[Any], Any], tree: Any) -> Any:
    """`function` of every array of a tree, of its lengths and indices, too."""
    if isinstance(tree, list | tuple):
        return type(tree)(map_all(function, item) for item in tree)
    if isinstance(tree, Ragged):
        return Ragged(map_all(function, tree.data), function(tree.lengths))
    if isinstance(tree, Padded):
        places = (function(tree.size_at_t), function(tree.lengths), function(tree.indices))
        return Padded(map_all(function, tree.data), *places)
    return function(tree)


def placed_tree(ops: Ops, tree: Any, dtype: str) -> Any:
    """A tree of host arrays on the device, floats as `dtype`."""
    return map_all(lambda array: ops.asarray(array, dtype if is_float(array.dtype) else array.dtype), tree)


def _arrays(dX: Any) -> list[Any]:
    return [array for array in leaves(dX) if hasattr(array, "shape")]  # None is the gradient of integers


def _sum_of_products(ones: Sequence[int], others: Sequence[int]) -> int:
    return sum(one * other for one, other in zip(ones, others, strict=True))


def _size(tree: Any) -> int:
    return sum(int(array.size) for array in leaves(tree))
