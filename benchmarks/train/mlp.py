"""A multilayer perceptron."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.train.task import Arrays, Layers, Problem, Task, labels, linear
from triops.models import Relu, Softmax, chain

__all__ = ["MLP"]


def _problem(rows: int, nI: int, width: int, classes: int) -> Problem:
    rng = np.random.default_rng(0)
    weights = (
        linear(rng, "first", width, nI) | linear(rng, "second", width, width) | linear(rng, "out", classes, width)
    )
    batch = {"X": rng.standard_normal((rows, nI), dtype="float32"), "y": labels(rng, rows, classes)}
    # Nothing asks for the gradient of X.
    products = 2 * nI * width + 3 * width * width + 3 * width * classes
    return Problem(
        {"rows": rows, "nI": nI, "width": width, "classes": classes}, weights, batch, 2.0 * rows * products
    )


def _triops(array: Any, batch: Arrays, extents: Any) -> Layers:
    nI, width, classes = extents["nI"], extents["width"], extents["classes"]
    layers = [Relu(width, nI), Relu(width, width), Softmax(classes, width)]
    return Layers(chain(*layers), array(batch["X"]), [(layer, name) for layer in layers for name in ("W", "b")])


def _thinc(array: Any, batch: Arrays, extents: Any) -> Layers:
    from thinc.api import Relu, Softmax, chain

    nI, width, classes = extents["nI"], extents["width"], extents["classes"]
    layers = [Relu(width, nI), Relu(width, width), Softmax(classes, width)]
    return Layers(chain(*layers), array(batch["X"]), [(layer, name) for layer in layers for name in ("W", "b")])


def _torch(extents: Any) -> Any:
    from torch.nn import Linear, ReLU, Sequential

    nI, width, classes = extents["nI"], extents["width"], extents["classes"]
    return Sequential(Linear(nI, width), ReLU(), Linear(width, width), ReLU(), Linear(width, classes))


def _jax(w: Arrays, batch: Arrays) -> Any:
    from jax.nn import relu

    from benchmarks.train.with_jax import cross_entropy

    first = relu(batch["X"] @ w["first_W"].T + w["first_b"])
    second = relu(first @ w["second_W"].T + w["second_b"])
    return cross_entropy(second @ w["out_W"].T + w["out_b"], batch["y"])


MLP = Task(
    "mlp",
    "784-512-512-10 Relu, softmax cross-entropy, batch of 128",
    _problem,
    {
        "full": {"rows": 128, "nI": 784, "width": 512, "classes": 10},
        "small": {"rows": 16, "nI": 20, "width": 12, "classes": 5},
    },
    triops=_triops,
    thinc=_thinc,
    torch=_torch,
    jax=_jax,
)
