"""A function of JAX as a layer: waves whose frequencies are learned, with triops' layers around them.

Run it:  python examples/jax_function.py --backend numpy

The curve is a sum of sines; a layer of waves with the right frequencies says it exactly. JAX differentiates the
function and compiles it, whatever backend the rest of the model is on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from triops import Model, Ops, check_gradient, get_ops, use_ops
from triops.models import Adam, JaxWrapper, L2Distance, Linear, chain

WAVES = 16


def waves(params: dict[str, Any], X: Any) -> Any:
    """(N, 1) places to (N, WAVES) heights."""
    return jnp.sin(X * params["frequencies"] + params["phases"])


def build(ops: Ops) -> Model:
    draw = ops.draw_uniform
    params = {"frequencies": draw(1, (WAVES,), 0.5, 8.0), "phases": draw(2, (WAVES,), -3.0, 3.0)}
    with use_ops(ops):
        return chain(JaxWrapper(waves, params), Linear(1, WAVES))


def sample(ops: Ops, seed: int, rows: int = 128) -> tuple[Any, Any]:
    """Places from -2 to 2, and the curve there."""
    X = ops.draw_uniform(seed, (rows, 1), -2.0, 2.0)
    return X, ops.xp.sin(3 * X) + 0.5 * ops.xp.sin(7 * X + 1)


def main(argv: Sequence[str] | None = None) -> list[float]:
    """Train, print the losses, save, load, and return them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy", choices=["numpy", "jax"])
    parser.add_argument("--steps", type=int, default=500)
    args = parser.parse_args(argv)

    ops = get_ops(args.backend)
    model = build(ops).initialize(seed=0)
    print(f"{ops.name} on {ops.device}")
    for check in check_gradient(model, sample(ops, 0)[0], directions=1):
        print(f"  {check.name}: {check.analytic:.4g}, by finite differences {check.numeric:.4g}")

    loss, optimizer, losses = L2Distance(), Adam(0.01), []
    for step in range(args.steps):
        X, target = sample(ops, step)
        Yh, backprop = model.begin_update(X)
        gradient, value = loss(Yh, target)
        backprop(gradient, sgd=optimizer)
        if step % max(args.steps // 5, 1) == 0 or step == args.steps - 1:
            losses.append(float(value))
            print(f"  step {step}: loss {losses[-1]:.5f}")

    twin = build(ops).from_bytes(model.to_bytes())
    X, target = sample(ops, args.steps)
    print(f"  loaded: the largest error is {float(abs(twin.predict(X) - target).max()):.3f}")
    return losses


if __name__ == "__main__":
    main()
