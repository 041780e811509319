"""Train steps of PyTorch modules, eager and compiled."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from benchmarks.train.task import ADAM, Problem, Task

__all__ = ["TorchTrainer"]


class TorchTrainer:
    """One module, and its steps."""

    def __init__(self, task: Task, problem: Problem, dtype: str = "float32", *, compiled: bool = False) -> None:
        assert task.torch is not None
        floats = getattr(torch, dtype)
        module = task.torch(problem.extents).to(floats)
        self._names = list(problem.weights)
        self._parameters = list(module.parameters())
        with torch.no_grad():
            for parameter, value in zip(self._parameters, problem.weights.values(), strict=True):
                parameter.copy_(torch.from_numpy(value).view(parameter.shape))
        # A module may want its batch in another form, made before the clock starts.
        prepare = getattr(module, "prepare", lambda batch: batch)
        batch = prepare({name: _tensor(array, floats) for name, array in problem.batch.items()})
        truths = batch.pop("y")

        def loss() -> Any:
            return cross_entropy(module(*batch.values()), truths)

        self._loss = torch.compile(loss, dynamic=False) if compiled else loss
        rate, beta1, beta2, eps = ADAM.values()
        # Fused is faster here than foreach.
        self._optimizer = torch.optim.Adam(self._parameters, rate, (beta1, beta2), eps, fused=True)
        self._last: Any = None

    def step(self) -> None:
        """Forward, loss, backward, Adam."""
        self._optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            loss = self._loss()
            loss.backward()
        self._optimizer.step()
        self._last = loss.detach()

    def wait(self) -> None:
        """Calls on the CPU return when they are done."""

    def loss(self) -> float:
        """Of the last step."""
        return float(self._last)

    def weights(self) -> dict[str, Any]:
        """Every parameter, on the host."""
        arrays = (parameter.detach().numpy() for parameter in self._parameters)
        return dict(zip(self._names, arrays, strict=True))


def _tensor(array: Any, floats: Any) -> Any:
    tensor = torch.from_numpy(array)
    return tensor.to(floats) if tensor.is_floating_point() else tensor
