"""A model of one's own as cases: training and predicting, at one batch size after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from triops.bench.cases.arrays import host
from triops.bench.cases.case import Case, Shape, Work
from triops.bench.cases.model import ModelCase, map_all
from triops.errors import ArgumentError
from triops.models import Model
from triops.ops import get_ops, to_numpy, use_ops
from triops.ragged import Padded, Ragged

__all__ = ["OwnCase", "own_case", "own_cases"]

_SUITES = {"train": "train", "predict": "predict"}


class OwnCase:
    """`function()` of `package.module:function` returns a model, bound to the current ops, and a sample batch: an
    array, a list of arrays, or Ragged. A batch of another size is made of the sample's rows, or sequences, one
    after the other and from the first again. Training is towards Y = 0, which costs what any other loss costs."""

    version, tolerance = 1, 0.01

    def __init__(self, suite: str, target: str, sizes: Sequence[int]) -> None:
        self.suite, self.name = suite, target
        self.shapes = {f"batch {size}": [(size,)] for size in sizes}

    def start(self, ops: Any, dtype: str, shape: Shape) -> Work:
        """The model with a batch of that size."""
        function = _function(self.name)
        with use_ops(ops):
            _, sample = _called(self.name, function)
        batch = take(map_all(to_numpy, sample), shape[0])
        case = ModelCase(
            self.suite,
            self.name,
            "train" if self.suite == "train" else "predict",
            self.shapes,
            build=lambda size: _called(self.name, function)[0],
            inputs=lambda size: batch,
            tolerance=self.tolerance,
        )
        return case.start(ops, dtype, shape)


def own_cases(target: str, sizes: Sequence[int]) -> list[Case]:
    """Both cases of a model. Raises ArgumentError where the target is no `package.module:function`."""
    _split(target)
    return [OwnCase(suite, target, sizes) for suite in _SUITES]


def own_case(target: str) -> Callable[[str, str], OwnCase]:
    """The case of a suite, in a worker, which is told the batch sizes one by one."""
    _function(target)
    return lambda suite, name: OwnCase(suite, target, ())


def take(tree: Any, count: int) -> Any:
    """The first rows of an array, items of a list, or sequences of a Ragged; from the start again where there are
    not as many."""
    if isinstance(tree, list):
        return [tree[i % len(tree)] for i in range(count)]
    np = host()
    if isinstance(tree, Ragged):
        ends = np.cumsum(tree.lengths)
        order = np.arange(count) % len(tree.lengths)
        rows = [tree.data[ends[i] - tree.lengths[i] : ends[i]] for i in order]
        return Ragged(np.concatenate(rows), tree.lengths[order])
    if isinstance(tree, tuple | Padded) or not hasattr(tree, "shape"):
        raise ArgumentError(
            f"the sample batch must be an array, a list of arrays or a Ragged to make batches of other sizes of, "
            f"got {type(tree).__name__}"
        )
    return tree[np.arange(count) % len(tree)]


def _called(target: str, function: Callable[[], Any]) -> tuple[Model, Any]:
    result = function()
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Model):
        kinds = ", ".join(type(item).__name__ for item in result) if isinstance(result, tuple) else ""
        raise ArgumentError(
            f"{target} must return a model and a sample batch, got {type(result).__name__}"
            f"{f' of {kinds}' if kinds else ''}"
        )
    model, sample = result
    if isinstance(sample, list) and sample and not hasattr(sample[0], "shape"):
        sample = get_ops("numpy").asarray(sample)
    return model, sample


def _function(target: str) -> Callable[[], Any]:
    module, name = _split(target)
    if "" not in sys.path:  # the folder that the command was given in
        sys.path.insert(0, "")
    try:
        function: Callable[[], Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ArgumentError(f"cannot find {target}: {error}") from error
    return function


def _split(target: str) -> tuple[str, str]:
    module, _, name = target.partition(":")
    if not module or not name.isidentifier():
        raise ArgumentError(f"a model is given as package.module:function, got {target!r}")
    return module, name
