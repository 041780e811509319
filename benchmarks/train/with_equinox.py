"""Train steps with Equinox and optax: the functions that are written by hand for JAX, as a module's forward
pass."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import optax

from benchmarks.train.task import ADAM, Problem, Task
from benchmarks.train.with_jax import JaxTrainer

__all__ = ["EquinoxTrainer"]


class _Module(eqx.Module):
    """Weights, and the loss that they give for a batch."""

    weights: dict[str, Any]
    loss: Any = eqx.field(static=True)

    def __call__(self, batch: Any) -> Any:
        return self.loss(self.weights, batch)


class EquinoxTrainer(JaxTrainer):
    """The same weights and batch, and another step: `filter_jit`, `filter_value_and_grad` and `optax.adam`."""

    def __init__(self, task: Task, problem: Problem) -> None:
        super().__init__(task, problem)
        adam = optax.adam(ADAM["learn_rate"], ADAM["beta1"], ADAM["beta2"], ADAM["eps"])
        module = _Module(self._state[0], task.jax)
        self._state = module, adam.init(eqx.filter(module, eqx.is_array))
        self._step = _train_step(adam)

    def weights(self) -> dict[str, Any]:
        return {name: jax.device_get(array) for name, array in self._state[0].weights.items()}


def _train_step(adam: Any) -> Any:
    # The state is donated, and the batch, which comes second, is not.
    @eqx.filter_jit(donate="all-except-first")
    def step(batch: Any, state: Any) -> Any:
        module, moments = state
        loss, gradient = eqx.filter_value_and_grad(lambda module: module(batch))(module)
        updates, moments = adam.update(gradient, moments, module)
        return (eqx.apply_updates(module, updates), moments), loss

    return lambda state, batch: step(batch, state)
