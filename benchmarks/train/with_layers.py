"""Train steps of `begin_update` models: triops, and Thinc, whose interface is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np

import triops
from benchmarks.train.task import ADAM, Layers, Place, Problem, Task
from triops import get_ops, use_ops
from triops.models import Adam, CategoricalCrossentropy

__all__ = ["thinc_trainer", "triops_trainer"]

_PLAIN = {"grad_clip": 0.0, "L2": 0.0, "use_averages": False}


class LayersTrainer:
    """One model, and its steps."""

    def __init__(
        self,
        layers: Layers,
        problem: Problem,
        array: Callable[[Any], Any],
        truths: Any,
        loss: Callable[[Any, Any], tuple[Any, Any]],
        optimizer: Any,
        to_numpy: Callable[[Any], Any] = np.asarray,
    ) -> None:
        self._model, self._X, self._truths = layers.model, layers.X, truths
        self._loss, self._optimizer = loss, optimizer
        self._to_numpy, self._labels = to_numpy, problem.batch["y"]
        self._names = list(problem.weights)
        self.places = [place if isinstance(place, Place) else Place(*place) for place in layers.places]
        values = list(problem.weights.values())
        for place in self.places:
            ours, values = values[: place.count], values[place.count :]
            shape = tuple(place.layer.get_param(place.name).shape)
            place.layer.set_param(place.name, array(np.array(place.join(ours)).reshape(shape)))
        if values:
            raise ValueError(f"the model has no place for {len(values)} of the weights")
        self._rows: Any = None

    def step(self) -> None:
        """Forward, loss, backward, Adam."""
        Y, backprop = self._model.begin_update(self._X)
        ragged = hasattr(Y, "lengths")
        self._rows = Y.data if ragged else Y
        gradient, self._last_loss = self._loss(self._rows, self._truths)
        backprop(type(Y)(gradient, Y.lengths) if ragged else gradient)
        self._model.finish_update(self._optimizer)
        self._optimizer.step_schedules()

    def wait(self) -> None:
        """Until the step is done: at once, where calls return when they are."""

    def loss(self) -> float:
        """Of the last step, from the probabilities: Thinc's own number is another."""
        chosen = self._to_numpy(self._rows)[np.arange(len(self._labels)), self._labels]
        return float(-np.log(chosen.astype("float64")).mean())

    def weights(self) -> dict[str, Any]:
        """Every parameter, on the host."""
        arrays: list[Any] = []
        for place in self.places:
            arrays += place.split(self._to_numpy(place.layer.get_param(place.name)))
        return dict(zip(self._names, arrays, strict=True))


class _TriopsTrainer(LayersTrainer):
    def wait(self) -> None:
        ops = self._model.ops
        if ops.name != "numpy":
            ops.synchronize(*(place.layer.get_param(place.name) for place in self.places))

    def loss(self) -> float:
        return float(self._last_loss)


class _CompiledTrainer(_TriopsTrainer):
    """Compiled begin_update, the callback, finish_update; as the others, without the gradient of the batch."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._model = triops.compile(self._model, dX=False)


class _StepTrainer(_TriopsTrainer):
    """The whole step as one program."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._step = triops.compile_step(self._model, self._loss, self._optimizer)

    def step(self) -> None:
        self._last_loss = self._step(self._X, self._truths)


_TRAINERS = {"eager": _TriopsTrainer, "compiled": _CompiledTrainer, "step": _StepTrainer}


def triops_trainer(
    backend: str, task: Task, problem: Problem, dtype: str = "float32", *, how: str = "eager"
) -> LayersTrainer:
    """The model on the CPU of a backend. how: "eager", "compiled" or "step"."""
    ops = get_ops(backend, "cpu:0")

    def array(data: Any) -> Any:
        return ops.asarray(data, dtype=dtype if data.dtype.kind == "f" else data.dtype)

    assert task.triops is not None
    with use_ops(ops):
        layers = task.triops(array, problem.batch, problem.extents)
        layers.model.initialize()
    return _TRAINERS[how](
        layers,
        problem,
        array,
        array(problem.batch["y"]),
        CategoricalCrossentropy(),
        Adam(**ADAM, **_PLAIN),
        ops.to_numpy,
    )


def thinc_trainer(task: Task, problem: Problem) -> LayersTrainer:
    """The model on Thinc's NumpyOps."""
    import thinc.api

    assert task.thinc is not None
    with thinc.api.use_ops("numpy"):
        layers = task.thinc(np.array, problem.batch, problem.extents)
        layers.model.initialize()
    classes = list(problem.weights.values())[-1].shape[0]
    return LayersTrainer(
        layers,
        problem,
        np.array,
        np.eye(classes, dtype="float32")[problem.batch["y"]],  # labels it would turn into this, each time
        thinc.api.CategoricalCrossentropy(),
        thinc.api.Adam(**(ADAM | {"eps": _corrected_eps()}), **_PLAIN),
    )


def _corrected_eps() -> Iterator[float]:
    """Thinc adds eps before it corrects the second moment, and so to a smaller number than the others; this much
    less is the same."""
    return (ADAM["eps"] * (1 - ADAM["beta2"] ** step) ** 0.5 for step in count(1))
