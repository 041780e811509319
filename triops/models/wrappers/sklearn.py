"""Any scikit-learn estimator as a model: trained by gradients or by examples, or frozen as it was fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from triops.backends.threads import limit_loaded
from triops.errors import ArgumentError, BackendUnavailable, DTypeError, UninitializedError
from triops.models.model import Model
from triops.models.trees import described
from triops.ops import Ops
from triops.ops.base import is_float
from triops.ragged import Padded, Ragged
from triops.types import Backprop

try:
    import numpy as np
    import skops.io  # noqa: F401 - sklearn_state works with it
    from sklearn.base import BaseEstimator, is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise BackendUnavailable(
        f"SklearnWrapper needs the packages scikit-learn and skops ({error}): pip install 'triops[sklearn]'"
    ) from error

from triops.models.wrappers.pickling import check_pickles
from triops.models.wrappers.sklearn_initial import start
from triops.models.wrappers.sklearn_maps import (
    OUTPUTS,
    affine_rank,
    begin_network,
    default_output,
    is_network,
    jacobian,
    link_of,
)
from triops.models.wrappers.sklearn_parameters import Weights, read_weight, weight_names, write_weight
from triops.models.wrappers.sklearn_state import estimator_from_bytes, estimator_to_bytes

__all__ = ["SklearnWrapper"]

limit_loaded()


class SklearnWrapper(Model):
    """Y = output(X), `output` being a method of a scikit-learn estimator.

    X: (N, nI), an array of this model's ops; or what else the estimator takes, such as a list of texts. Y: (N,
    nO) in the dtype of X, float32 where X has no floats; one column where the estimator gives a vector. Integers
    that `predict` gives, such as labels, stay as they are.

    What comes back, and who learns from it:

    - SGDClassifier, SGDRegressor, Perceptron, MLPClassifier, MLPRegressor and their kin: dX is exact, and so are
      the gradients of the coefficients, which the optimizer of `finish_update` applies. The estimator's own loss,
      penalty and learning rate are left out. LogisticRegression does so with frozen=False.
    - Other predictors with `partial_fit`, such as GaussianNB, learn from examples, and have no dX.
      `finish_update` calls `partial_fit` with X and Y - N dY, which is the truth where the loss is L2Distance; a
      classifier, with the class whose column of dY is least, the true one with CategoricalCrossentropy.
    - Scalers, PCA and its kin, feature selection, random projections, linear regressors and decision functions,
      and pipelines of these are affine: they are frozen, and dX is exact.
    - All others are frozen, and have no dX: backprop returns None. Layers with parameters before them could not
      learn, and refuse it: put such an estimator first, or into a Pipeline with what comes before.

    The probabilities of linear models and perceptrons are an output layer, as `Softmax` is: backprop takes the
    gradient of a loss with respect to the logits. Within a model use output="decision_function", which of a
    perceptron is the scores before its softmax, and `softmax_activation()`. `drop` changes nothing: estimators
    have no dropout.

    output: "predict_proba", "decision_function", "predict" or "transform"; by default the first that a classifier
    has, `predict` of a regressor, `transform` of what is neither. classes: the labels of a classifier that is not
    fitted, whose columns are in their sorted order; by default the numbers of the columns or labels of the sample
    Y. frozen: None learns where
    the estimator has `partial_fit`, True never. trusted: names of types, as skops gives them, that a saved
    estimator may hold beyond those that skops knows to be harmless, as "sklearn.tree._tree.Tree" of a forest.

    `initialize` makes the coefficients of an estimator that learns by gradients and is not fitted: zero of a
    linear one, glorot_uniform_init of a perceptron. A fitted one keeps them, in the dtype of the sample; all
    others must be fitted. Saved is the estimator, by skops, and loading replaces `estimator`: nothing in it is
    run. Raises ArgumentError where the estimator does not fit the other arguments.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        output: str | None = None,
        classes: Sequence[Any] | None = None,
        frozen: bool | None = None,
        trusted: Sequence[str] = (),
        name: str | None = None,
        ops: Ops | None = None,
    ) -> None:
        if not isinstance(estimator, BaseEstimator):
            raise ArgumentError(
                f"SklearnWrapper: estimator must be one of scikit-learn's, got {_named(estimator)}: make one "
                f"first, as in SklearnWrapper(SGDClassifier())"
            )
        output = default_output(estimator) if output is None else output
        if output not in OUTPUTS or not (hasattr(estimator, output) or is_network(estimator, output)):
            raise ArgumentError(
                f"SklearnWrapper: output must be one of {', '.join(OUTPUTS)} that {type(estimator).__name__} "
                f"has, got {output!r}"
            )
        super().__init__(name, dims={"nI": None, "nO": None}, ops=ops)
        self.output, self.classes, self.trusted = output, classes, tuple(trusted)
        self._is_network = is_network(estimator, output)
        self.learns = self._way_to_learn(estimator, frozen)
        self._params = Weights(self)  # type: ignore[assignment]
        self.estimator = estimator
        self._take_dims()

    def _way_to_learn(self, estimator: Any, frozen: bool | None) -> str:
        """ "gradients", "examples" or ""."""
        can = hasattr(estimator, "partial_fit") and (is_classifier(estimator) or is_regressor(estimator))
        if frozen or (frozen is None and not can):
            return ""
        if not (can or self._is_network):
            raise ArgumentError(
                f"SklearnWrapper: {type(estimator).__name__} can learn neither from gradients nor by "
                f"partial_fit: leave frozen=False out"
            )
        return "gradients" if self._is_network else "examples"

    @property
    def expects_logit_gradient(self) -> bool:
        if not (self._is_network and self.output == "predict_proba"):
            return False
        return not (self.is_fitted and link_of(self.estimator, self.output) == "logistic")  # of several labels

    @property
    def untraceable(self) -> str | None:
        return None if self._is_network else "scikit-learn computes it, and needs the values of its input"

    @property
    def is_fitted(self) -> bool:
        """Whether scikit-learn takes the estimator for fitted."""
        try:
            check_is_fitted(self.estimator)
        except NotFittedError:
            return False
        return True

    # -- computing

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        if not self.is_fitted:
            how = "call model.initialize(X, Y) with samples" if self.learns == "gradients" else "fit it first"
            raise UninitializedError(
                f"{type(self.estimator).__name__} is not fitted: {how}, or load a saved model"
            )
        return self._begin_network(X) if self._is_network else self._begin_method(X)

    def _begin_network(self, X: Any) -> tuple[Any, Backprop]:
        self.check_floats(X, width="nI")
        estimator, names = self.estimator, weight_names(self.estimator)
        trained = set(self._params)

        def weight(name: str) -> Any:
            return self.get_param(name) if name in trained else self._frozen_weight(name, X.dtype)

        # A column for each output, as perceptrons have it; linear models have a row.
        as_rows = not hasattr(estimator, "coefs_")
        matrices = (weight(matrix) for matrix, _ in names)
        columns = (W.reshape(-1, X.shape[1]).T if as_rows else W for W in matrices)
        layers = [(W, weight(intercepts)) for W, (_, intercepts) in zip(columns, names, strict=True)]
        activation = getattr(estimator, "activation", "identity")
        Y, backprop_network = begin_network(self.ops, X, layers, activation, link_of(estimator, self.output))

        def backprop(dY: Any, sgd: Any = None) -> Any:
            dX, gradients = backprop_network(dY)
            for (matrix, intercepts), (dW, db) in zip(names, gradients, strict=True):
                as_kept = dW.T.reshape(read_weight(estimator, matrix).shape) if as_rows else dW
                found = {matrix: as_kept, intercepts: db}
                for name in found.keys() & trained:
                    self.inc_grad(name, found[name])
            return dX

        return Y, backprop

    def _frozen_weight(self, name: str, dtype: Any) -> Any:
        return self.ops.asarray(read_weight(self.estimator, name), dtype)

    def _begin_method(self, X: Any) -> tuple[Any, Backprop]:
        if self.ops.backend.is_traced(X):
            raise ArgumentError(
                "scikit-learn needs the values of its input, and JAX is tracing it: leave the wrapper out of "
                "what is compiled"
            )
        is_array = self.ops.backend.is_array(X)
        if not is_array and (self.has_dim("nI") or isinstance(X, Ragged | Padded)):
            self.check_floats(X)
        host = self.ops.to_numpy(X) if is_array else X
        dtype = X.dtype if is_array and is_float(X.dtype) else None
        Y = self._as_output(getattr(self.estimator, self.output)(host), dtype)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            if self.learns == "examples":
                self._grads.setdefault("examples", []).append((host, self._targets(Y, dY)))
            rank = affine_rank(self.estimator, self.output) if dtype is not None else None
            if rank is None:
                return None
            function = getattr(self.estimator, self.output)
            slopes = self.ops.asarray(jacobian(function, host.shape[1], rank), dtype)
            return dY * slopes if rank == 1 else self.ops.gemm(dY, slopes, trans2=True)

        return Y, backprop

    def _as_output(self, Y: Any, dtype: Any) -> Any:
        host = np.asarray(Y.toarray() if hasattr(Y, "toarray") else Y)
        if host.dtype.kind not in "biuf":
            raise DTypeError(
                f"{self.output} of {type(self.estimator).__name__} must give an array of numbers, got "
                f"{described(Y)} of {host.dtype}: choose another output"
            )
        if host.ndim == 1 and host.dtype.kind != "f":
            return self.ops.asarray(host)  # labels
        return self.ops.asarray(host[:, None] if host.ndim == 1 else host, dtype or "float32")

    def _targets(self, Y: Any, dY: Any) -> Any:
        """What the estimator is to give for each row, as far as dY says."""
        Y, dY = self.ops.to_numpy(Y), self.ops.to_numpy(dY)
        if not is_classifier(self.estimator):
            targets = Y - len(Y) * dY
            return targets[:, 0] if targets.shape[1] == 1 else targets
        lowest = dY.argmin(axis=1) if dY.shape[1] > 1 else (dY[:, 0] < 0).astype("int64")
        return self.estimator.classes_[lowest]

    def gradients_for(self, optimizer: Callable[..., tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
        examples = self._grads.get("examples")
        if examples:
            batches, targets = zip(*examples, strict=True)
            joined = batches[0] if len(batches) == 1 else _joined(batches)
            self.estimator.partial_fit(joined, np.concatenate(targets))
        self._grads.pop("examples", None)
        return super().gradients_for(optimizer)

    # -- initialization

    def infer_dims(self, X: Any, Y: Any) -> None:
        super().infer_dims(X, None)

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        if self.learns == "gradients" and not self.is_fitted:
            dtype = "float32" if X is None else X.dtype.name
            start(self.estimator, self.get_dim("nI"), self.classes, Y, dtype, self.ops, seed)
        elif self.learns == "gradients" and X is not None:
            self._cast(X.dtype)
        self._take_dims()
        if X is not None and self.has_dim("nO") is None and (Y := self.predict(X)).ndim == 2:
            self.set_dim("nO", Y.shape[1])

    def _take_dims(self) -> None:
        if not self.is_fitted:
            return
        width = getattr(self.estimator, "n_features_in_", None)
        if width is not None:
            self.set_dim("nI", width, because=f"{type(self.estimator).__name__} was fitted to {width} features")
        if self._is_network:
            matrix = read_weight(self.estimator, weight_names(self.estimator)[-1][0])
            columns = matrix.shape[1] if hasattr(self.estimator, "coefs_") else matrix.size // width
            two = self.output == "predict_proba" and columns == 1
            self.set_dim("nO", 2 if two else columns)

    # -- moving, saving

    def convert(self, function: Callable[[Any], Any], ops: Ops) -> None:
        made = {function(self.ops.alloc((1,), name)).dtype.name for name in ("float32", "float64")}
        if len(made) == 1:  # one dtype from two is a conversion of every float; each its own is a move
            self._cast(made.pop())
        for name, value in self._grads.items():
            if self.ops.backend.is_array(value):
                self._grads[name] = function(value)
        self.ops = ops

    def _cast(self, dtype: Any) -> None:
        for name in self._params:
            write_weight(self.estimator, name, read_weight(self.estimator, name).astype(dtype))

    def __getstate__(self) -> dict[str, Any]:
        check_pickles(self, f"the estimator of {self!r}", self.estimator)
        return self.__dict__

    def __repr__(self) -> str:
        return f"SklearnWrapper({type(self.estimator).__name__})"

    def save_node(self) -> dict[str, Any]:
        return {"params": estimator_to_bytes(self.estimator), "state": {}}

    def load_node(self, saved: dict[str, Any]) -> Callable[[], None]:
        if "params" not in saved:
            return lambda: None
        return partial(self._take_over, estimator_from_bytes(saved["params"], type(self.estimator), self.trusted))

    def _take_over(self, estimator: Any) -> None:
        self.estimator = estimator
        self._grads.clear()


def _named(estimator: Any) -> str:
    return f"the class {estimator.__name__}" if isinstance(estimator, type) else type(estimator).__name__


def _joined(batches: Sequence[Any]) -> Any:
    if isinstance(batches[0], np.ndarray):
        return np.concatenate(batches)
    return [item for batch in batches for item in batch]
