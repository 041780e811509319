"""Handwritten digits: train a classifier on one backend, save it, and load it on the others.

    python examples/digits.py --backend jax

Needs scikit-learn for the data: pip install 'triops[bench]'.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from triops import Model, Ops, available_backends, get_ops, use_ops
from triops.models import Adam, CategoricalCrossentropy, Dropout, Relu, Softmax, chain

BATCH = 64

pixels, labels = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(pixels / 16, labels, test_size=360, random_state=0)


def build(ops: Ops) -> Model:
    """A perceptron that takes its widths from the data, or from a saved model."""
    with use_ops(ops):
        return chain(Relu(128), Dropout(0.2), Relu(128), Softmax(10))


def train(ops: Ops, epochs: int) -> Model:
    """A trained classifier."""
    X, y = ops.asarray(X_train), ops.asarray(y_train)  # float64 becomes float32, the default
    model = build(ops).initialize(X[:BATCH], seed=0)
    loss, optimizer = CategoricalCrossentropy(), Adam(0.003)
    for epoch in range(epochs):
        order = ops.permutation(epoch, len(X))
        for start in range(0, len(X) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            Yh, backprop = model.begin_update(X[rows])
            gradient, batch_loss = loss(Yh, y[rows])
            backprop(gradient, optimizer)
        accuracy = (predict(model) == y_test).mean()
        print(f"  epoch {epoch + 1}: loss {float(batch_loss):.3f}, accuracy {accuracy:.1%}")
    return model


def predict(model: Model) -> Any:
    """The digits that the model takes the test pixels for, as a NumPy array."""
    Yh = model.predict(model.ops.asarray(X_test))
    return model.ops.to_numpy(Yh).argmax(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a classifier of handwritten digits with triops.")
    parser.add_argument("--backend", help="numpy, cupy or jax; without it, each that is here in turn")
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()

    here = [name for name, status in available_backends().items() if status.available]
    for name in [args.backend] if args.backend else here:
        ops = get_ops(name)
        print(f"{ops.name} on {ops.device}")
        model = train(ops, args.epochs)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "digits.msgpack"
            model.to_disk(path)
            for other in here:
                twin = build(get_ops(other)).from_disk(path)
                same = (predict(twin) == predict(model)).mean()
                print(f"  loaded on {other}: {same:.1%} of the predictions are the same")


if __name__ == "__main__":
    main()
