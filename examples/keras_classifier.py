"""A Keras network inside a triops chain: it reads handwritten digits, triops' softmax names them.

    KERAS_BACKEND=tensorflow python examples/keras_classifier.py --backend numpy

Keras computes with TensorFlow, JAX or PyTorch, as KERAS_BACKEND says, the rest of the chain with --backend. Needs
scikit-learn for the data: pip install 'triops[bench]'.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from triops import Model, get_ops, use_ops
from triops.models import Adam, CategoricalCrossentropy, Dropout, KerasWrapper, Relu, Softmax, chain

BATCH = 64


def build() -> Model:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Reshape((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
        ]
    )
    return chain(KerasWrapper(network), Relu(64), Dropout(0.2), Softmax(10))


def main(argv: Sequence[str] | None = None) -> float:
    """Train, print the accuracy after each epoch, save, load, and return the last accuracy."""
    parser = argparse.ArgumentParser(description="Train a classifier of digits with a Keras network inside.")
    parser.add_argument("--backend", default="numpy", choices=["numpy", "jax"])
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args(argv)

    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split((pixels / 16).astype("float32"), labels, test_size=360, random_state=0)
    ops = get_ops(args.backend)
    X, X_test, y, _ = map(ops.asarray, split)
    print(f"Keras on {keras.backend.backend()}, triops on {ops.name}")
    with use_ops(ops):
        model = build().initialize(X[:BATCH], seed=0)
    loss, optimizer, accuracy = CategoricalCrossentropy(), Adam(0.003), 0.0

    def right(model: Model) -> Any:
        return (ops.to_numpy(model.predict(X_test)).argmax(axis=1) == split[3]).mean()

    for epoch in range(args.epochs):
        order = ops.permutation(epoch, len(X))
        for start in range(0, len(X) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            Yh, backprop = model.begin_update(X[rows])
            backprop(loss.get_grad(Yh, y[rows]), sgd=optimizer)
        accuracy = float(right(model))
        print(f"  epoch {epoch + 1}: accuracy {accuracy:.1%}")

    with use_ops(ops):
        twin = build().initialize(X[:BATCH]).from_bytes(model.to_bytes())
    print(f"  loaded: accuracy {right(twin):.1%}")
    return accuracy


if __name__ == "__main__":
    main()
