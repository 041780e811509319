"""A layer of one's own: written, checked against finite differences, trained, saved and loaded.

    python examples/own_layer.py --backend jax

Points in a square belong to a disc or lie outside of it. No straight line tells which; the distance to the right
place does, and where that place is can be learned.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from triops import Model, Ops, check_gradient, get_ops, use_ops
from triops.models import Adam, CategoricalCrossentropy, Softmax, chain, uniform_init

POINTS = 500


class Distances(Model):
    """Y[n, k] = |X[n] - C[k]|², the squared distances of each row to nO places.

    X: (N, nI) floats. Y: (N, nO). Parameter C: (nO, nI), the places.
    """

    def __init__(self, nO: int | None = None, nI: int | None = None) -> None:
        super().__init__(dims={"nO": nO, "nI": nI})  # None: a sample batch will tell
        self.add_param("C", ("nO", "nI"), uniform_init)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Any]:
        self.check_floats(X, width="nI")
        ops, C = self.ops, self.get_param("C")
        Y = (X * X).sum(axis=1)[:, None] - 2 * ops.gemm(X, C, trans2=True) + (C * C).sum(axis=1)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            self.inc_grad("C", 2 * (dY.sum(axis=0)[:, None] * C - ops.gemm(dY, X, trans1=True)))
            return 2 * (dY.sum(axis=1)[:, None] * X - ops.gemm(dY, C))

        return Y, backprop


def points(ops: Ops, seed: int) -> tuple[Any, Any]:
    """Points of a square, and whether each lies in a disc about (0.3, -0.2)."""
    X = ops.draw_uniform(seed, (POINTS, 2), -1, 1)
    place = ops.asarray([0.3, -0.2])
    return X, (((X - place) ** 2).sum(axis=1) < 0.4).astype("int32")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a layer, check its gradient, train it, save it.")
    parser.add_argument("--backend", default="numpy", help="numpy, cupy or jax")
    ops = get_ops(parser.parse_args().backend)
    print(f"{ops.name} on {ops.device}")

    with use_ops(ops):  # what new models compute with
        model = chain(Distances(4), Softmax(2))
    X, y = points(ops, seed=1)
    model.initialize(X)
    for check in check_gradient(model, X[:20], directions=1):
        print(f"  {check.name}: backprop {check.analytic:+.6f}, finite differences {check.numeric:+.6f}")

    loss, optimizer = CategoricalCrossentropy(), Adam(0.1)
    for epoch in range(1, 61):
        Yh, backprop = model.begin_update(X)
        gradient, value = loss(Yh, y)
        backprop(gradient, optimizer)
        if epoch % 20 == 0:
            print(f"  epoch {epoch}: loss {float(value):.3f}")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.msgpack"
        model.to_disk(path)
        with use_ops("numpy") as host:
            loaded = chain(Distances(4), Softmax(2)).from_disk(path)
    X, y = points(host, seed=2)
    accuracy = (loaded.predict(X).argmax(axis=1) == y).mean()
    print(f"  loaded on numpy: {accuracy:.1%} of new points are told apart")


if __name__ == "__main__":
    main()
