"""Train steps in JAX by hand: one jitted program for the loss, its gradient and Adam, on donated buffers."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from benchmarks.train.task import ADAM, Problem, Task

__all__ = ["JaxTrainer", "cross_entropy", "layer_norm", "maxout", "pad_rows", "train_step", "unpad_rows"]


class JaxTrainer:
    """One loss function, and its steps."""

    def __init__(self, task: Task, problem: Problem) -> None:
        assert task.jax is not None
        self._step = train_step(task.jax)
        cpu = jax.devices("cpu")[0]
        weights = {name: jax.device_put(array.copy(), cpu) for name, array in problem.weights.items()}
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self._state = weights, zeros, jax.tree.map(jnp.zeros_like, weights), jnp.zeros((), "int32")
        self._batch = {
            name: jax.device_put(array if array.dtype.kind == "f" else array.astype("int32"), cpu)
            for name, array in task.prepare_jax(problem.batch).items()
            if name != "ids"  # of 64 bits
        }
        self._last: Any = None

    def step(self) -> None:
        """Forward, loss, backward, Adam; perhaps not done yet."""
        self._state, self._last = self._step(self._state, self._batch)

    def wait(self) -> None:
        """Until the step is done."""
        jax.block_until_ready((self._state, self._last))

    def loss(self) -> float:
        """Of the last step."""
        return float(self._last)

    def weights(self) -> dict[str, Any]:
        """Every parameter, on the host."""
        # JAX sorts the names.
        return {name: np.asarray(array) for name, array in self._state[0].items()}


def train_step(loss: Any) -> Any:
    """`state, value = step(state, batch)`, where the state is weights, both moments, and the steps so far."""
    rate, beta1, beta2, eps = ADAM.values()

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, batch: Any) -> Any:
        weights, mom1, mom2, count = state
        value, gradients = jax.value_and_grad(loss)(weights, batch)
        count = count + 1
        mom1 = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, mom1, gradients)
        mom2 = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, mom2, gradients)
        fix1, fix2 = 1 - beta1**count, 1 - beta2**count
        weights = jax.tree.map(
            lambda w, m, v: w - (rate / fix1) * m / (jnp.sqrt(v / fix2) + eps), weights, mom1, mom2
        )
        return (weights, mom1, mom2, count), value

    return step


# -- what JAX lacks, or has slower


def cross_entropy(scores: Any, labels: Any) -> Any:
    """The mean over rows."""
    logs = jax.nn.log_softmax(scores)
    return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean()


def layer_norm(X: Any, G: Any, b: Any, eps: float) -> Any:
    """Over the last axis."""
    centred = X - X.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred * centred).mean(axis=-1, keepdims=True) + eps) * G + b


@jax.custom_vjp
def maxout(X: Any) -> Any:
    """The largest along the last axis: compares, and an index for the way back, are faster than jnp.max."""
    return _maxout(X)[0]


def _maxout(X: Any) -> Any:
    best, which = X[..., 0], jnp.zeros(X.shape[:-1], "int32")
    for p in range(1, X.shape[-1]):
        better = X[..., p] > best
        best, which = jnp.where(better, X[..., p], best), jnp.where(better, p, which)
    return best, (which, X.shape[-1])


def _backprop_maxout(saved: Any, dY: Any) -> Any:
    which, pieces = saved
    return (jnp.stack([jnp.where(which == p, dY, 0) for p in range(pieces)], axis=-1),)


maxout.defvjp(_maxout, _backprop_maxout)


@jax.custom_vjp
def pad_rows(X: Any, padding: Any) -> Any:
    """The rows at their padded places, zeros at the others. Both ways it is a gather; what JAX makes of a
    gather's gradient is a scatter, which is slow on a CPU."""
    index, inside, _ = padding
    return X[index] * inside[..., None]


@jax.custom_vjp
def unpad_rows(X: Any, padding: Any) -> Any:
    """The way back."""
    return X.reshape(-1, X.shape[-1])[padding[2]]


pad_rows.defvjp(
    lambda X, padding: (pad_rows(X, padding), padding), lambda padding, dY: (unpad_rows(dY, padding), None)
)
unpad_rows.defvjp(
    lambda X, padding: (unpad_rows(X, padding), padding), lambda padding, dY: (pad_rows(dY, padding), None)
)
