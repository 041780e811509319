"""Handwritten digits with scikit-learn, both ways: a triops model in its pipelines and searches, its estimators
in a triops model.

    python examples/sklearn_pipeline.py --backend jax

Needs scikit-learn and skops: pip install 'triops[sklearn]'.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from triops import Model, use_ops
from triops.models import Adam, CategoricalCrossentropy, Relu, SklearnWrapper, TriopsClassifier, chain

BATCH = 64

pixels, labels = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    pixels.astype("float32"), labels, test_size=360, random_state=0
)


def search(backend: str, epochs: int) -> Any:
    """The best of four perceptrons on scaled pixels, by cross-validation."""
    classifier = TriopsClassifier(backend=backend, epochs=epochs, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("classify", classifier)])
    settings = {"classify__hidden": [(32,), (128,)], "classify__learn_rate": [0.001, 0.01]}
    return GridSearchCV(pipeline, settings, cv=3).fit(X_train, y_train)


def build(pca: Any) -> Model:
    """A frozen projection, a layer of our own, and scikit-learn's linear classifier."""
    return chain(SklearnWrapper(pca), Relu(64), SklearnWrapper(SGDClassifier(loss="log_loss")))


def train(model: Model, epochs: int) -> Model:
    """The classifier learns from the gradient of our loss, and passes it on to the layer before it."""
    X, y = model.ops.asarray(X_train), model.ops.asarray(y_train)
    model.initialize(X[:BATCH], y, seed=0)
    loss, optimizer = CategoricalCrossentropy(), Adam(0.003)
    for epoch in range(epochs):
        order = model.ops.permutation(epoch, len(X))
        for start in range(0, len(X) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            Yh, backprop = model.begin_update(X[rows])
            backprop(loss.get_grad(Yh, y[rows]), sgd=optimizer)
    return model


def accuracy(model: Model) -> float:
    Yh = model.predict(model.ops.asarray(X_test))
    return float((model.ops.to_numpy(Yh).argmax(axis=1) == y_test).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Use triops in scikit-learn, and scikit-learn in triops.")
    parser.add_argument("--backend", default="numpy", help="numpy, cupy or jax")
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()

    found = search(args.backend, args.epochs)
    best = {name.removeprefix("classify__"): value for name, value in found.best_params_.items()}
    print(f"the best perceptron, {best}: {found.score(X_test, y_test):.1%} of the test digits")

    pca = PCA(32).fit(X_train)
    with use_ops(args.backend):
        model = train(build(pca), args.epochs)
    print(f"PCA, Relu and SGDClassifier in a chain: {accuracy(model):.1%} of the test digits")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.triops"
        model.to_disk(path)
        with use_ops("numpy"):
            loaded = build(pca).from_disk(path)
    print(f"saved, and loaded on numpy: {accuracy(loaded):.1%} of the test digits")


if __name__ == "__main__":
    main()
