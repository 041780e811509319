"""PyTorch's Linear(2, 2) and our own learn y = -(1 / x), one update loop for both.

Run it:  python examples/pytorch_reciprocal.py --backend jax --steps 500
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch

from triops import Model, Ops, use_ops
from triops.models import SGD, Linear, PyTorchWrapper


def sample(ops: Ops, seed: int, rows: int = 64) -> tuple[Any, Any]:
    """X: (rows, 2), away from zero, and its negative inverse."""
    X = ops.draw_uniform(seed, (rows, 2), 0.5, 2.0)
    return X, -(1 / X)


def train(model: Model, ops: Ops, steps: int, every: int) -> list[float]:
    """The mean squared error before every `every`-th update, and after the last."""
    optimizer = SGD(0.1)
    losses = []
    for step in range(steps):
        X, target = sample(ops, seed=step)
        output, backprop = model.begin_update(X)
        dY = (output - target) / len(X)
        backprop(dY, sgd=optimizer)
        if step % every == 0:
            losses.append(float(((output - target) ** 2).mean()))
    X, target = sample(ops, seed=steps)
    losses.append(float(((model.predict(X) - target) ** 2).mean()))
    return losses


def main(argv: Sequence[str] | None = None) -> dict[str, tuple[Model, list[float]]]:
    """Train both, print their losses side by side, and return each model with its losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy", choices=["numpy", "jax", "cupy"])
    parser.add_argument("--steps", type=int, default=1000)
    args = parser.parse_args(argv)

    every = max(args.steps // 10, 1)
    with use_ops(args.backend) as ops:
        theirs = PyTorchWrapper(torch.nn.Linear(2, 2).to("cuda" if args.backend == "cupy" else "cpu"))
        ours = Linear(2, 2).initialize(seed=0)
        theirs.set_param("weight", ours.get_param("W"))
        theirs.set_param("bias", ours.get_param("b"))
        models = {"PyTorch": theirs, "triops": ours}
        trained = {name: (model, train(model, ops, args.steps, every)) for name, model in models.items()}

    print(f"{'step':>6}" + "".join(f"{name:>12}" for name in trained))
    steps = [*range(0, args.steps, every), args.steps]
    for step, *losses in zip(steps, *(losses for _, losses in trained.values()), strict=True):
        print(f"{step:>6}" + "".join(f"{loss:>12.6f}" for loss in losses))
    return trained


if __name__ == "__main__":
    main()
