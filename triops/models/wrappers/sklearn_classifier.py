"""Any triops model as a classifier of scikit-learn."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from triops.errors import ArgumentError
from triops.models.layers import Softmax
from triops.models.model import Model

# First, since it says what to install where scikit-learn is missing.
from triops.models.wrappers.sklearn_estimator import TriopsEstimator  # isort: split

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from triops.models.wrappers.sklearn_training import predicted

__all__ = ["TriopsClassifier"]

_LEAST = 1e-30  # so that a probability of 0 has a logarithm


class TriopsClassifier(ClassifierMixin, TriopsEstimator):  # type: ignore[misc]
    """A triops model as a classifier of scikit-learn, for two classes or more.

    model: None for a perceptron of Relu layers of widths `hidden` and a Softmax; a triops model, of which each
    fit trains a copy; or a function of (nO, nI), the numbers of classes and features, that makes one. Its output
    is that of a `Softmax` layer, or else is taken for logits. A model that begins with SparseLinear gets the
    columns of sparse rows as keys, all others get them dense, a batch at a time.
    dropout: the `drop` of the model. optimizer: "adam", "adamw", "radam" or "sgd", or a function of the learning
    rate, such as Adam or partial(Adam, L2=0.01). learn_rate: a number or a schedule. batch_size: rows an update,
    and a prediction. epochs: passes over the data, at the most. early_stopping: hold out `validation_fraction` of
    the rows, end where their score has not risen by `tol` for `patience` epochs, and keep the best weights.
    warm_start: go on from the last fit. class_weight: by label, or "balanced". backend: "numpy", "jax", ... as in
    `get_ops`; None for the current ops. random_state: of initial weights, order and held-out rows; an integer
    makes fits repeat. verbose: show epochs, loss and score on stderr.

    After `fit`: model_, classes_, n_features_in_, feature_names_in_ where X has names, n_iter_, loss_curve_ (in
    nats, of each epoch), validation_scores_.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        hidden: int | tuple[int, ...] = (100,),
        dropout: float = 0.0,
        optimizer: Any = "adam",
        learn_rate: Any = 0.001,
        batch_size: int = 128,
        epochs: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        class_weight: Any = None,
        backend: Any = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model, hidden=hidden, dropout=dropout, optimizer=optimizer, learn_rate=learn_rate,
            batch_size=batch_size, epochs=epochs, early_stopping=early_stopping,
            validation_fraction=validation_fraction, patience=patience, tol=tol, warm_start=warm_start,
            backend=backend, random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.class_weight = class_weight

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """One pass over these rows, weights as they are. classes: all labels that will come, for the first
        call."""
        if self.class_weight == "balanced":
            raise ArgumentError(
                "TriopsClassifier: class_weight='balanced' needs all labels at once: compute it, and give a dict"
            )
        if classes is None and not hasattr(self, "model_"):
            raise ArgumentError(
                "TriopsClassifier: the first partial_fit needs all labels that will come: give classes"
            )
        return self._partial_fit(X, y, sample_weight, classes)

    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, (N, classes), in the order of `classes_`."""
        Y, ops = self._output(X), self.model_.ops
        return Y if self.model_.expects_logit_gradient else ops.to_numpy(ops.softmax(ops.asarray(Y, Y.dtype)))

    def predict(self, X: Any) -> Any:
        """The most probable label of each row."""
        numbers = self._output(X).argmax(axis=1)
        return self.classes_[numbers]

    saved_attributes = (*TriopsEstimator.saved_attributes, "classes_")
    _checks_of_y: ClassVar[dict[str, bool]] = {}

    def _targets(self, y: Any, again: bool, classes: Any) -> Any:
        """The numbers of the labels."""
        check_classification_targets(y)
        if not again:
            self.classes_ = np.unique(y if classes is None else classes)
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ArgumentError(
                f"TriopsClassifier: y holds the labels {unknown.tolist()}, the model was made for "
                f"{self.classes_.tolist()}: fit a new one, or give all classes to the first partial_fit"
            )
        return np.searchsorted(self.classes_, y)

    def _columns(self, T: Any, dtype: Any) -> Any:
        return (T[:, None] == np.arange(len(self.classes_))).astype(dtype)

    def _n_targets(self) -> int:
        return len(self.classes_)

    def _class_weights(self, y: Any) -> Any:
        return 1.0 if self.class_weight is None else compute_sample_weight(self.class_weight, y)

    def _last_layer(self, nO: int) -> Model:
        return Softmax(nO)

    def _losses(self, Yh: Any, T: Any) -> tuple[Any, Any]:
        ops = self.model_.ops
        target = ops.asarray(self._columns(T, self.dtype_), self.dtype_)
        if not self.model_.expects_logit_gradient:
            return ops.cross_entropy(Yh, target)
        return -ops.xp.log(ops.xp.maximum((Yh * target).sum(axis=1), _LEAST)), Yh - target

    def _score(self, X: Any, T: Any, weights: Any) -> float:
        guesses = predicted(self.model_, X, self.batch_size).argmax(axis=1)
        return float(accuracy_score(T, guesses, sample_weight=weights))

    def _strata(self, T: Any) -> Any:
        return T
