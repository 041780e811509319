"""What is known of a scikit-learn estimator: which of its methods gives the output, and how a gradient comes back
through it. What is not known has no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor

from triops.errors import ArgumentError
from triops.ops import Ops

__all__ = ["OUTPUTS", "affine_rank", "begin_network", "default_output", "is_network", "jacobian", "link_of"]

OUTPUTS = ("predict_proba", "decision_function", "predict", "transform")

# By the names of base classes, so that nothing of scikit-learn is loaded that the user has not loaded.
_LINEAR = {"BaseSGDClassifier", "BaseSGDRegressor", "LogisticRegression"}
_PERCEPTRON = {"BaseMultilayerPerceptron"}
_COLUMNWISE = {"StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"}
_AFFINE = {
    "transform": {
        "_BasePCA", "_PLS", "BaseRandomProjection", "FactorAnalysis", "FastICA", "LinearDiscriminantAnalysis",
        "NeighborhoodComponentsAnalysis", "SelectorMixin", "TruncatedSVD",
    },
    "decision_function": {"LinearClassifierMixin"},
    "predict": {"LinearModel", "_PLS"},
}  # fmt: skip
_ACTIVATIONS = {"identity": "", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


def default_output(estimator: Any) -> str:
    """The method that gives the output: `predict_proba` or else `decision_function` of classifiers, `predict` of
    regressors, `transform` of what is neither. Raises ArgumentError where there is none."""
    if is_classifier(estimator):
        # The probabilities of this loss are flat almost everywhere.
        flat = getattr(estimator, "loss", None) == "modified_huber"
        wanted: tuple[str, ...] = OUTPUTS[1:2] if flat else OUTPUTS[:2]
    else:
        wanted = ("predict",) if is_regressor(estimator) else ("transform", "decision_function", "predict")
    for output in wanted:
        if hasattr(estimator, output):
            return output
    raise ArgumentError(
        f"SklearnWrapper: {type(estimator).__name__} has no {' or '.join(wanted)}: name a method that gives "
        f"numbers, of {', '.join(OUTPUTS)}, as output="
    )


# -- networks: affine layers, and functions that are applied to each row


def is_network(estimator: Any, output: str) -> bool:
    """Whether the output is computed here, from the weights of a linear model or a multilayer perceptron."""
    if _is_one_of(estimator, _PERCEPTRON):
        return (output == "predict") if is_regressor(estimator) else output in OUTPUTS[:2]
    if not _is_one_of(estimator, _LINEAR):
        return False
    if is_regressor(estimator):
        return output == "predict"
    known = getattr(estimator, "loss", "log_loss") == "log_loss"
    return output == "decision_function" or (output == "predict_proba" and known)


def link_of(estimator: Any, output: str) -> str:
    """The function that makes the output of a fitted network's scores."""
    if _is_one_of(estimator, _PERCEPTRON):
        if output == "decision_function":
            return "identity"
        last: str = estimator.out_activation_
        return "two classes" if last == "logistic" and estimator.n_outputs_ == 1 else last
    if output != "predict_proba":
        return "identity"
    if len(estimator.coef_) == 1:
        return "two classes"
    multinomial = _is_one_of(estimator, {"LogisticRegression"}) and not (
        estimator.solver == "liblinear" or getattr(estimator, "multi_class", None) == "ovr"
    )
    return "softmax" if multinomial else "one against the rest"


def begin_network(
    ops: Ops, X: Any, layers: list[tuple[Any, Any]], activation: str, link: str
) -> tuple[Any, Callable[[Any], tuple[Any, list[tuple[Any, Any]]]]]:
    """Y = link(… f(X W₀ + b₀) W₁ + b₁ …), and a callback from dY to dX and the gradients of all W: (nI, nO) and
    b: (nO,), in their order."""
    function = _ACTIVATIONS[activation]
    inputs, scores = [X], X
    for i, (W, b) in enumerate(layers):
        if i:
            inputs.append(getattr(ops, function)(scores) if function else scores)
        scores = ops.affine(inputs[-1], W.T, b)
    Y, backprop_link = _LINKS[link](ops, scores)

    def backprop(dY: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        d_scores = backprop_link(dY)
        gradients = []
        for i in reversed(range(len(layers))):
            gradients.append((ops.gemm(inputs[i], d_scores, trans1=True), d_scores.sum(axis=0)))
            d_scores = ops.gemm(d_scores, layers[i][0], trans2=True)
            if i and function:
                d_scores = getattr(ops, f"backprop_{function}")(d_scores, inputs[i])
        return d_scores, gradients[::-1]

    return Y, backprop


def _two_classes(ops: Ops, Z: Any) -> Any:
    # The softmax of (0, Z).
    P = ops.sigmoid(Z)
    return ops.xp.concatenate([1 - P, P], axis=1), lambda dY: dY[:, 1:]


def _one_against_the_rest(ops: Ops, Z: Any) -> Any:
    # σ(Z) / Σ σ(Z), which is the softmax of log σ(Z): so it never divides by 0.
    return ops.softmax(-ops.softplus(-Z)), lambda dY: dY * ops.sigmoid(-Z)


def _exp(ops: Ops, Z: Any) -> Any:
    Y = ops.xp.exp(Z)
    return Y, lambda dY: dY * Y


def _logistic(ops: Ops, Z: Any) -> Any:
    Y = ops.sigmoid(Z)
    return Y, lambda dY: ops.backprop_sigmoid(dY, Y)


# Probabilities of classes take the gradient of the logits, as `Softmax` does.
_LINKS: dict[str, Callable[[Ops, Any], Any]] = {
    "identity": lambda ops, Z: (Z, lambda dY: dY),
    "softmax": lambda ops, Z: (ops.softmax(Z), lambda dY: dY),
    "two classes": _two_classes,
    "one against the rest": _one_against_the_rest,
    "logistic": _logistic,
    "exp": _exp,
}


# -- affine maps, which a few of their values tell


def affine_rank(estimator: Any, output: str) -> int | None:
    """1 where the output is affine column by column, 2 where it is affine, None where that is not known."""
    if _is_one_of(estimator, {"Pipeline"}):
        *before, last = [step for _, step in estimator.steps if step not in (None, "passthrough")] or [None]
        ranks = [affine_rank(step, "transform") for step in before] + [last and affine_rank(last, output)]
        return None if None in ranks else max(ranks)
    if output == "transform" and _is_one_of(estimator, _COLUMNWISE) and _is_its_own(estimator, output):
        return None if getattr(estimator, "clip", False) else 1
    known = _is_one_of(estimator, _AFFINE.get(output, set())) and _is_its_own(estimator, output)
    return 2 if known else None


def jacobian(function: Callable[[Any], Any], nI: int, rank: int) -> Any:
    """The derivative of an affine map in float64, its values at the unit vectors without that at 0: (nI, nO),
    or of a columnwise map (1, nI)."""
    units = np.eye(nI) if rank == 2 else np.ones((1, nI))
    values = function(np.concatenate([np.zeros((1, nI)), units]))
    dense = np.asarray(values.toarray() if hasattr(values, "toarray") else values, "float64")
    rows = dense.reshape(len(units) + 1, -1)
    return rows[1:] - rows[:1]


def _is_one_of(estimator: Any, names: set[str]) -> bool:
    return any(base.__name__ in names and _is_sklearns(base) for base in type(estimator).__mro__)


def _is_its_own(estimator: Any, method: str) -> bool:
    """Whether a method is scikit-learn's, and not that of somebody's subclass."""
    return _is_sklearns(next(base for base in type(estimator).__mro__ if method in base.__dict__))


def _is_sklearns(kind: type) -> bool:
    return kind.__module__.startswith("sklearn.")
