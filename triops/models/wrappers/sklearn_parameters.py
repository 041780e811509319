"""The weights of a linear scikit-learn estimator or multilayer perceptron, as a model's parameters."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from triops.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from triops.models.wrappers.sklearn import SklearnWrapper

__all__ = ["Weights", "read_weight", "weight_names", "write_weight"]


def weight_names(estimator: Any) -> list[tuple[str, str]]:
    """Of each layer of a fitted network the names of its matrix and of its intercepts: ("coef_", "intercept_"),
    or ("coefs_.0", "intercepts_.0") and so on; nothing before it is fitted."""
    if hasattr(estimator, "coefs_"):
        return [(f"coefs_.{i}", f"intercepts_.{i}") for i in range(len(estimator.coefs_))]
    return [("coef_", "intercept_")] if hasattr(estimator, "coef_") else []


def read_weight(estimator: Any, name: str) -> Any:
    """The estimator's own array."""
    attribute, _, place = name.partition(".")
    value = getattr(estimator, attribute)
    return value[int(place)] if place else value


def write_weight(estimator: Any, name: str, value: Any) -> None:
    """Let the estimator have an array of its own. The old one stays as it is: a backward pass may need it."""
    attribute, _, place = name.partition(".")
    value = np.array(value, order="C")
    if place:
        getattr(estimator, attribute)[int(place)] = value
    else:
        setattr(estimator, attribute, value)


class Weights(MutableMapping[str, Any]):
    """Those that are trained, in the estimator's shapes: none where it is frozen or not fitted yet."""

    def __init__(self, model: SklearnWrapper) -> None:
        self._model = model

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[str]:
        if self._model.learns != "gradients":
            return
        estimator = self._model.estimator
        for matrix, intercepts in weight_names(estimator):
            yield matrix
            if getattr(estimator, "fit_intercept", True):
                yield intercepts

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        value = read_weight(self._model.estimator, name)
        return self._model.ops.asarray(value, value.dtype)

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self:
            raise ArgumentError(
                f"parameter {name} cannot be set: those of this estimator are {list(self)}: initialize it first, "
                f"or fit it"
            )
        shape = read_weight(self._model.estimator, name).shape
        if tuple(value.shape) != shape:
            raise ShapeError(f"parameter {name}: expected shape {shape}, got {tuple(value.shape)}: reshape it")
        write_weight(self._model.estimator, name, self._model.ops.to_numpy(value))

    def __delitem__(self, name: str) -> None:
        raise ArgumentError(f"parameter {name} belongs to the estimator, and cannot be taken out")
