"""The first weights of a scikit-learn estimator that learns by gradients and has seen no data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from triops.errors import UninitializedError
from triops.models.initializers import glorot_uniform_init, zero_init
from triops.models.seeds import derive_seed
from triops.models.wrappers.sklearn_parameters import read_weight, weight_names, write_weight
from triops.ops import Ops

__all__ = ["start"]


def start(
    estimator: Any, nI: int, classes: Sequence[Any] | None, Y: Any, dtype: str, ops: Ops, seed: int
) -> None:
    """Let scikit-learn make everything that a fitted estimator has, from zeros; then draw the weights.

    classes: a classifier's labels, None where the sample Y tells. Raises UninitializedError where neither does.
    """
    if is_classifier(estimator):
        labels = _labels(estimator, classes, Y, ops)
        estimator.partial_fit(np.zeros((len(labels), nI), dtype), labels, classes=labels)
    else:
        shape = (1, Y.shape[1]) if getattr(Y, "ndim", 1) == 2 and Y.shape[1] > 1 else (1,)
        estimator.partial_fit(np.zeros((1, nI), dtype), np.zeros(shape, dtype))
    for names in weight_names(estimator):
        for name in names:
            init = glorot_uniform_init if name.startswith("coefs_") else zero_init
            value = init(ops, read_weight(estimator, name).shape, derive_seed(seed, name))
            write_weight(estimator, name, ops.to_numpy(value).astype(dtype))


def _labels(estimator: Any, classes: Sequence[Any] | None, Y: Any, ops: Ops) -> Any:
    if classes is not None:
        return np.unique(np.asarray(classes))
    if Y is None:
        raise UninitializedError(
            f"{type(estimator).__name__} does not know its classes: give classes=[...], or call "
            f"model.initialize(X, Y) with a sample of the labels"
        )
    if getattr(Y, "ndim", 1) == 2:
        return np.arange(Y.shape[1])
    labels = ops.to_numpy(Y) if ops.backend.is_array(Y) else np.asarray(Y)
    return np.arange(labels.max() + 1) if labels.dtype.kind in "iu" else np.unique(labels)
