"""Any triops model as a regressor of scikit-learn."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from triops.errors import ArgumentError
from triops.models.layers import Linear
from triops.models.model import Model

# First, since it says what to install where scikit-learn is missing.
from triops.models.wrappers.sklearn_estimator import TriopsEstimator  # isort: split

from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from triops.models.wrappers.sklearn_training import predicted

__all__ = ["TriopsRegressor"]


class TriopsRegressor(RegressorMixin, TriopsEstimator):  # type: ignore[misc]
    """A triops model as a regressor of scikit-learn, for one output or several; it minimises ½ Σ (Y - y)².

    Settings and attributes are those of TriopsClassifier, but for classes: a perceptron ends in Linear, and the
    score of `early_stopping` is R². Outputs far from the size of 1 are learnt slowly: scale them, as with
    scikit-learn's TransformedTargetRegressor.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One pass over these rows, weights as they are."""
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> Any:
        """The outputs, (N,) or (N, outputs) as y was."""
        Y = self._output(X)
        return Y[:, 0] if self.y_ndim_ == 1 else Y

    saved_attributes = (*TriopsEstimator.saved_attributes, "n_outputs_", "y_ndim_")
    _checks_of_y: ClassVar[dict[str, bool]] = {"multi_output": True, "y_numeric": True}

    def _targets(self, y: Any, again: bool, classes: Any) -> Any:
        T = y.reshape(len(y), -1)
        if not again:
            self.n_outputs_, self.y_ndim_ = T.shape[1], y.ndim
        elif T.shape[1] != self.n_outputs_:
            raise ArgumentError(
                f"TriopsRegressor: y must have {self.n_outputs_} outputs, as before, got {T.shape[1]}: fit a new "
                f"one"
            )
        return T

    def _columns(self, T: Any, dtype: Any) -> Any:
        return T.astype(dtype)

    def _n_targets(self) -> int:
        return int(self.n_outputs_)

    def _class_weights(self, y: Any) -> Any:
        return 1.0

    def _last_layer(self, nO: int) -> Model:
        return Linear(nO)

    def _losses(self, Yh: Any, T: Any) -> tuple[Any, Any]:
        difference = Yh - self.model_.ops.asarray(self._columns(T, self.dtype_), self.dtype_)
        return (difference * difference).sum(axis=1) / 2, difference

    def _score(self, X: Any, T: Any, weights: Any) -> float:
        return float(r2_score(T, predicted(self.model_, X, self.batch_size), sample_weight=weights))

    def _strata(self, T: Any) -> Any:
        return None
