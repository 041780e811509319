"""SklearnWrapper computes what scikit-learn computes, with exact gradients where they are known."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.models.samples import floats
from triops import Model, Ops, check_gradient, get_ops, to_numpy
from triops.errors import ArgumentError, ArrayOwnerError, DTypeError, ShapeError, UninitializedError
from triops.models import SGD, Adam, CategoricalCrossentropy, L2Distance, Linear, Relu, Softmax, chain

pytest.importorskip("sklearn")
pytest.importorskip("skops")

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Perceptron,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from sklearn.svm import LinearSVC

from triops.models import SklearnWrapper

N, NI = 40, 5
rng = np.random.default_rng(0)
X = (rng.normal(size=(N, NI)) * [1, 2, 3, 4, 5] + [0, 1, 2, 3, 40]).astype("float64")
y = (X[:, 0] + X[:, 1] > X[:, 2] / 2).astype(int) + (X[:, 3] > 3)
two = (y > 0).astype(int)
T = np.stack([X[:, 0] - X[:, 1], X[:, 2] * X[:, 3] / 9], axis=1)
counts = rng.poisson(2, N)


def fitted(estimator: Any, target: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a perceptron has not converged
        return estimator.fit(X, target)


def small(kind: Any, **settings: Any) -> Any:
    return kind(hidden_layer_sizes=(6, 4), max_iter=20, random_state=0, **settings)


def sgd(**settings: Any) -> Any:
    return SGDClassifier(random_state=0, **settings)


def mlp(**settings: Any) -> Any:
    return small(MLPClassifier, **settings)


# With its own rate the scores are in the thousands, and all classes' probabilities 0.
slow = {"loss": "log_loss", "learning_rate": "constant", "eta0": 1e-4}

# name: the fitted estimator, the output, and whether it is trained by gradients
NETWORKS: dict[str, tuple[Callable[[], Any], str, bool]] = {
    "hinge": (lambda: fitted(sgd(), y), "decision_function", True),
    "hinge, two classes": (lambda: fitted(sgd(), two), "decision_function", True),
    "modified huber": (lambda: fitted(sgd(loss="modified_huber"), y), "decision_function", True),
    "log loss": (lambda: fitted(sgd(**slow), y), "predict_proba", True),
    "log loss, two classes": (lambda: fitted(sgd(**slow), two), "predict_proba", True),
    "without intercept": (lambda: fitted(sgd(fit_intercept=False), y), "decision_function", True),
    "perceptron": (lambda: fitted(Perceptron(), y), "decision_function", True),
    "regressor": (lambda: fitted(SGDRegressor(random_state=0, eta0=1e-5), T[:, 0]), "predict", True),
    "logistic": (lambda: fitted(LogisticRegression(max_iter=500), y), "predict_proba", False),
    "logistic, two classes": (lambda: fitted(LogisticRegression(max_iter=500), two), "predict_proba", False),
    "mlp": (lambda: fitted(mlp(), y), "predict_proba", True),
    "mlp, two classes": (lambda: fitted(mlp(activation="tanh"), two), "predict_proba", True),
    "mlp, identity": (lambda: fitted(mlp(activation="identity"), y), "predict_proba", True),
    "mlp regressor": (lambda: fitted(small(MLPRegressor, activation="logistic"), T), "predict", True),
    "mlp regressor, one output": (lambda: fitted(small(MLPRegressor), T[:, 0]), "predict", True),
}

AFFINE: dict[str, Callable[[], Any]] = {
    "StandardScaler": lambda: fitted(StandardScaler()),
    "StandardScaler, mean alone": lambda: fitted(StandardScaler(with_std=False)),
    "MinMaxScaler": lambda: fitted(MinMaxScaler((-1, 3))),
    "MaxAbsScaler": lambda: fitted(MaxAbsScaler()),
    "RobustScaler": lambda: fitted(RobustScaler()),
    "PCA": lambda: fitted(PCA(3)),
    "PCA, whitened": lambda: fitted(PCA(3, whiten=True)),
    "IncrementalPCA": lambda: fitted(IncrementalPCA(2)),
    "TruncatedSVD": lambda: fitted(TruncatedSVD(2, random_state=0)),
    "FactorAnalysis": lambda: fitted(FactorAnalysis(2)),
    "FastICA": lambda: fitted(FastICA(2, random_state=0)),
    "GaussianRandomProjection": lambda: fitted(GaussianRandomProjection(3, random_state=0)),
    "SparseRandomProjection": lambda: fitted(SparseRandomProjection(3, random_state=0)),
    "VarianceThreshold": lambda: fitted(VarianceThreshold(3.0)),
    "SelectKBest": lambda: fitted(SelectKBest(k=2), y),
    "LinearRegression": lambda: fitted(LinearRegression(), T),
    "Ridge, one output": lambda: fitted(Ridge(), T[:, 0]),
    "LinearSVC": lambda: fitted(LinearSVC(), y),
    "LinearDiscriminantAnalysis": lambda: fitted(LinearDiscriminantAnalysis(), y),
    "PLSRegression": lambda: fitted(PLSRegression(2), T),
    "pipeline": lambda: fitted(make_pipeline(StandardScaler(), "passthrough", PCA(3), Ridge()), T),
}  # fmt: skip


def wrapped(estimator: Any, **options: Any) -> Any:
    return SklearnWrapper(estimator, **options)


def data(ops: Ops, dtype: str = "float32") -> Any:
    return ops.asarray(X, dtype)


def expected(estimator: Any, output: str) -> Any:
    Y = np.asarray(getattr(estimator, output)(X))
    return Y[:, None] if Y.ndim == 1 else Y


# -- what is computed


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_that_of_sklearn_with_exact_gradients(ops: Ops, name: str) -> None:
    make, output, learns = NETWORKS[name]
    model = wrapped(make()).astype("float32").initialize(data(ops))
    assert model.output == output
    Y = model.predict(data(ops))
    np.testing.assert_allclose(to_numpy(Y), expected(model.estimator, output), rtol=2e-4, atol=2e-5)
    assert Y.shape[1] == model.get_dim("nO")
    names = [check.name for check in check_gradient(model, data(ops), directions=1)]
    assert len(names) == len(model.param_names) + 1
    assert bool(model.param_names) is learns


@pytest.mark.parametrize("name", ["mlp", "mlp, two classes"])
def test_the_scores_of_a_perceptron_are_those_before_its_softmax(ops: Ops, name: str) -> None:
    estimator = NETWORKS[name][0]()
    model = wrapped(estimator, output="decision_function").astype("float32")
    scores = to_numpy(model.predict(data(ops)))
    if scores.shape[1] == 1:
        scores = np.concatenate([0 * scores, scores], axis=1)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        odds / odds.sum(axis=1, keepdims=True), estimator.predict_proba(X), rtol=1e-3, atol=1e-6
    )
    assert not model.expects_logit_gradient
    assert check_gradient(chain(Linear(NI, NI), model, Relu(2, model.get_dim("nO"))).initialize(), data(ops))


@pytest.mark.parametrize("name", AFFINE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_affine_map_is_frozen_and_passes_the_gradient_on(ops: Ops, name: str, dtype: str) -> None:
    estimator = AFFINE[name]()
    model = wrapped(estimator, output="transform" if name.startswith("LinearDisc") else None)
    Y, backprop = model.begin_update(data(ops, dtype))
    np.testing.assert_allclose(to_numpy(Y), expected(estimator, model.output), rtol=2e-4, atol=1e-4)
    assert backprop(Y).dtype == Y.dtype == dtype
    assert not model.param_names
    assert len(check_gradient(chain(Linear(NI, NI), model).initialize(data(ops)), data(ops))) == 2 * 3


def test_logistic_regression_learns_where_it_is_not_to_be_frozen(ops: Ops) -> None:
    model = wrapped(NETWORKS["logistic"][0](), frozen=False).initialize(data(ops))
    assert model.param_names == ("coef_", "intercept_")
    assert len(check_gradient(model, data(ops), directions=1)) == 3


def test_a_frozen_network_keeps_its_weights_and_passes_the_gradient_on(ops: Ops) -> None:
    estimator = NETWORKS["mlp regressor"][0]()
    before = [W.copy() for W in estimator.coefs_]
    model = chain(Relu(NI, NI), wrapped(estimator, frozen=True)).initialize(data(ops))
    Y, backprop = model.begin_update(data(ops))
    backprop(Y, sgd=Adam(0.1))
    assert all(np.array_equal(W, old) for W, old in zip(estimator.coefs_, before, strict=True))
    assert check_gradient(model, data(ops))


def opaque() -> dict[str, Any]:
    class Mine(StandardScaler):
        def transform(self, X: Any) -> Any:
            return super().transform(X) ** 2

    return {
        "forest": fitted(RandomForestClassifier(3, random_state=0), y),
        "forest of numbers": fitted(RandomForestRegressor(3, random_state=0), T[:, 0]),
        "exponential": fitted(PoissonRegressor(max_iter=1000), counts),
        "normalizer": fitted(Normalizer()),
        "clipped": fitted(MinMaxScaler(clip=True)),
        "a subclass": fitted(Mine()),
        "a pipeline with a forest": fitted(make_pipeline(StandardScaler(), RandomForestClassifier(3)), y),
    }


def test_what_is_not_known_has_no_gradient(ops: Ops) -> None:
    for name, estimator in opaque().items():
        model = wrapped(estimator)
        Y, backprop = model.begin_update(data(ops))
        want = expected(estimator, model.output)
        np.testing.assert_allclose(to_numpy(Y), want, rtol=1e-4, atol=1e-4, err_msg=name)
        assert backprop(Y) is None, name


def test_a_layer_before_it_says_that_it_cannot_learn(ops: Ops) -> None:
    model = chain(Linear(NI, NI), wrapped(opaque()["forest"])).initialize(data(ops))
    Y, backprop = model.begin_update(data(ops))
    with pytest.raises(
        DTypeError, match=r"chain > 0:linear: dY must .* got NoneType: the layer after .* before all layers with"
    ):
        backprop(Y)


def test_frozen_layers_before_it_do_not_mind(ops: Ops) -> None:
    forest = fitted(RandomForestClassifier(3, random_state=0), y)
    model = chain(wrapped(fitted(StandardScaler())), wrapped(forest), Relu(4), Softmax(3)).initialize(data(ops))
    Y, backprop = model.begin_update(data(ops))
    assert backprop(Y, sgd=Adam(0.1)) is None


def test_texts_and_integers_become_floats(ops: Ops) -> None:
    texts = ["one fish two fish", "red fish", "blue"]
    vectors = CountVectorizer().fit(texts)
    model = chain(wrapped(vectors), Relu(3)).initialize(texts)
    assert to_numpy(model.layers[0].predict(texts)).tolist() == vectors.transform(texts).toarray().tolist()
    Y, backprop = model.begin_update(texts)
    assert Y.dtype == "float32"
    assert backprop(Y) is None
    ids = ops.asarray([[3], [5], [3]])
    codes = wrapped(OneHotEncoder().fit(to_numpy(ids))).predict(ids)
    assert to_numpy(codes).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_several_labels_at_once_take_the_gradient_of_their_probabilities(ops: Ops) -> None:
    estimator = fitted(mlp(), np.stack([two, 1 - two, y > 1], axis=1))
    model = wrapped(estimator).initialize(data(ops))
    np.testing.assert_allclose(
        to_numpy(model.predict(data(ops))), estimator.predict_proba(X), rtol=1e-3, atol=1e-5
    )
    assert not model.expects_logit_gradient
    assert check_gradient(model, data(ops))


def test_labels_stay_integers(ops: Ops) -> None:
    model = wrapped(fitted(RandomForestClassifier(3, random_state=0), y), output="predict").initialize(data(ops))
    Y, backprop = model.begin_update(data(ops))
    assert to_numpy(Y).tolist() == model.estimator.predict(X).tolist()
    assert model.has_dim("nO") is None
    assert backprop(None) is None


# -- training


def accuracy(model: Model, ops: Ops, target: Any) -> float:
    return float((to_numpy(model.predict(standard(ops))).argmax(axis=1) == target).mean())


def standard(ops: Ops) -> Any:
    return ops.asarray((X - X.mean(axis=0)) / X.std(axis=0), "float32")


@pytest.mark.parametrize("make", [lambda: sgd(loss="log_loss"), lambda: mlp()], ids=["linear", "mlp"])
@pytest.mark.parametrize("labels", [y, two], ids=["three", "two"])
def test_an_estimator_that_is_not_fitted_is_made_and_learns_in_a_chain(ops: Ops, make: Any, labels: Any) -> None:
    estimator = make()
    model = chain(Relu(8), wrapped(estimator)).initialize(standard(ops), ops.asarray(labels), seed=1)
    assert model.expects_logit_gradient
    loss, optimizer = CategoricalCrossentropy(), Adam(0.05)
    for _ in range(60):
        Yh, backprop = model.begin_update(standard(ops), drop=0.1)
        backprop(loss.get_grad(Yh, ops.asarray(labels)), sgd=optimizer)
    assert accuracy(model, ops, labels) > 0.85
    inner = to_numpy(model.layers[0].predict(standard(ops)))  # scikit-learn itself predicts with what was learnt
    assert (estimator.predict(inner) == labels).mean() > 0.85
    assert estimator.classes_.tolist() == list(range(labels.max() + 1))


@pytest.mark.parametrize("make", [lambda: SGDRegressor(), lambda: small(MLPRegressor)], ids=["linear", "mlp"])
def test_regressors_learn(ops: Ops, make: Any) -> None:
    width = 2 if isinstance(make(), MLPRegressor) else 1
    target = ops.asarray(T[:, :width] / T[:, :width].std(axis=0), "float32")
    model = chain(Relu(8), wrapped(make())).initialize(standard(ops), target, seed=1)
    loss, optimizer, losses = L2Distance(), Adam(0.02), []
    for _ in range(60):
        Yh, backprop = model.begin_update(standard(ops))
        gradient, value = loss(Yh, target)
        losses.append(float(value))
        backprop(gradient, sgd=optimizer)
    assert losses[-1] < 0.3 * losses[0]


def test_initial_weights_follow_from_the_seed_alike_on_every_backend() -> None:
    weights = []
    for name, seed in (("numpy", 1), ("numpy", 1), ("jax", 1), ("numpy", 2)):
        pytest.importorskip(name)
        ops = get_ops(name)
        model = wrapped(mlp(), classes=["a", "b", "c"], ops=ops).initialize(data(ops), seed=seed)
        assert model.estimator.classes_.tolist() == ["a", "b", "c"]
        weights.append(to_numpy(model.get_param("coefs_.0")))
    first, again, elsewhere, other = weights
    assert np.array_equal(first, again)
    assert np.array_equal(first, elsewhere)
    assert not np.allclose(first, other)


def test_a_fitted_estimator_keeps_its_weights_in_the_dtype_of_the_sample(ops: Ops) -> None:
    estimator = NETWORKS["log loss"][0]()
    before = estimator.coef_.copy()
    model = wrapped(estimator)
    with pytest.raises(DTypeError, match="X is float32 and parameter coef_ is float64"):
        model.predict(data(ops))
    model.initialize(data(ops), seed=5)
    np.testing.assert_allclose(estimator.coef_, before, rtol=1e-6)
    assert estimator.coef_.dtype == "float32"
    assert model.predict(data(ops)).dtype == "float32"


def test_parameters_are_those_of_the_estimator(ops: Ops) -> None:
    model = wrapped(fitted(SGDRegressor(random_state=0, eta0=1e-5), T[:, 0])).initialize(data(ops))
    model.set_param("coef_", ops.asarray([1.0, 2, 3, 4, 5]))
    assert model.estimator.coef_.tolist() == [1, 2, 3, 4, 5]
    Y, backprop = model.begin_update(data(ops))
    backprop(Y * 0 + 1)
    np.testing.assert_allclose(to_numpy(model.get_grad("coef_")), X.sum(axis=0), rtol=1e-4)
    model.finish_update(SGD(0.1, grad_clip=0.0))
    np.testing.assert_allclose(model.estimator.coef_, np.arange(1, 6) - 0.1 * X.sum(axis=0), rtol=1e-4)
    with pytest.raises(ShapeError, match=r"parameter coef_: expected shape \(5,\), got \(4,\)"):
        model.set_param("coef_", floats(ops, 4))
    with pytest.raises(ArgumentError, match=r"parameter W cannot be set: those .* \['coef_', 'intercept_'\]"):
        model.set_param("W", floats(ops, 4))


def test_the_old_weights_serve_a_backward_pass_after_an_update(ops: Ops) -> None:
    model = wrapped(NETWORKS["mlp regressor"][0]()).initialize(data(ops))
    Y, first = model.begin_update(data(ops))
    before = to_numpy(first(Y))
    _, second = model.begin_update(data(ops))
    model.finish_update(SGD(0.1))
    np.testing.assert_array_equal(to_numpy(second(Y)), before)


# -- learning by examples


def test_naive_bayes_learns_from_the_class_that_the_gradient_asks_for(ops: Ops) -> None:
    half = GaussianNB().partial_fit(X[:20], y[:20], classes=[0, 1, 2])
    whole = GaussianNB().partial_fit(X[:20], y[:20], classes=[0, 1, 2]).partial_fit(X[20:], y[20:])
    model, loss = wrapped(half), CategoricalCrossentropy()
    for rows in (slice(20, 30), slice(30, 40)):
        Yh, backprop = model.begin_update(ops.asarray(X[rows], "float64"))
        assert backprop(loss.get_grad(Yh, ops.asarray(y[rows]))) is None
    model.finish_update(Adam())
    np.testing.assert_allclose(half.theta_, whole.theta_)
    np.testing.assert_allclose(half.class_count_, whole.class_count_)
    model.finish_update(Adam())
    np.testing.assert_allclose(half.class_count_, whole.class_count_)


def test_other_regressors_learn_towards_the_truth(ops: Ops) -> None:
    seen: list[Any] = []

    class Seeing(MultiOutputRegressor):  # type: ignore[misc]
        def partial_fit(self, X: Any, y: Any) -> Any:
            seen.append((X, y))
            return self

    model = wrapped(fitted(Seeing(SGDRegressor(eta0=1e-5)), T))
    Y, backprop = model.begin_update(data(ops))
    backprop(L2Distance().get_grad(Y, ops.asarray(T, "float32")), sgd=Adam())
    np.testing.assert_allclose(seen[0][0], X, rtol=1e-5)
    np.testing.assert_allclose(seen[0][1], T, rtol=1e-3, atol=1e-3)
    model.clear_grads()
    model.finish_update(Adam())
    assert len(seen) == 1


# -- moving, and what is refused


def test_a_model_moves_and_its_copies_are_their_own(ops: Ops) -> None:
    model = wrapped(NETWORKS["mlp"][0]()).initialize(data(ops))
    Y = to_numpy(model.predict(data(ops)))
    other = get_ops("numpy")
    moved = model.copy().to(other)
    assert moved.estimator is not model.estimator
    np.testing.assert_allclose(to_numpy(moved.predict(data(other))), Y, rtol=1e-5, atol=1e-6)
    moved.set_param("coefs_.0", 0 * moved.get_param("coefs_.0"))
    np.testing.assert_array_equal(to_numpy(model.predict(data(ops))), Y)
    double = model.copy().astype("float64")
    assert double.predict(data(ops, "float64")).dtype == "float64"
    assert model.get_param("coefs_.0").dtype == "float32"


class Names(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    def fit(self, X: Any, y: Any = None) -> Any:
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        return np.array([["a"]] * len(X))


def test_a_wrong_estimator_or_setting_is_refused() -> None:
    for estimator, came in ((SGDClassifier, "the class SGDClassifier"), ("text", "got str")):
        with pytest.raises(ArgumentError, match=f"estimator must be one of scikit-learn's, .*{came}"):
            SklearnWrapper(estimator)
    with pytest.raises(
        ArgumentError, match=r"output must be one of .* that SGDClassifier has, got 'predict_proba'"
    ):
        SklearnWrapper(SGDClassifier(), output="predict_proba")
    with pytest.raises(ArgumentError, match="got 'fit'"):
        SklearnWrapper(SGDClassifier(), output="fit")
    with pytest.raises(ArgumentError, match="RandomForestClassifier can learn neither"):
        SklearnWrapper(RandomForestClassifier(), frozen=False)
    with pytest.raises(ArgumentError, match=r"KBinsNothing has no transform or decision_function or predict"):
        SklearnWrapper(type("KBinsNothing", (BaseEstimator,), {})())


def test_what_is_not_fitted_says_what_to_do(ops: Ops) -> None:
    with pytest.raises(UninitializedError, match="StandardScaler is not fitted: fit it first"):
        wrapped(StandardScaler()).predict(data(ops))
    with pytest.raises(UninitializedError, match=r"SGDClassifier is not fitted: call model.initialize\(X, Y\)"):
        wrapped(SGDClassifier()).predict(data(ops))
    with pytest.raises(UninitializedError, match=r"does not know its classes: give classes="):
        wrapped(SGDClassifier()).initialize(data(ops))


def test_jax_is_told_to_leave_an_estimator_out_of_what_it_compiles() -> None:
    jax = pytest.importorskip("jax")
    model = wrapped(fitted(StandardScaler()), ops=get_ops("jax"))
    with pytest.raises(ArgumentError, match="needs the values of its input, and JAX is tracing it"):
        jax.jit(model.predict)(data(model.ops))


def test_wrong_inputs_are_refused(ops: Ops) -> None:
    scaler, linear = wrapped(fitted(StandardScaler())), wrapped(NETWORKS["hinge"][0]()).astype("float32")
    for model in (scaler, linear):
        with pytest.raises(DTypeError, match="X must be a floating array"):
            model.predict(X.tolist())
    with pytest.raises(ShapeError, match="dimension nI: expected 5, got 4"):
        linear.predict(floats(ops, 3, 4))
    with pytest.raises(ValueError, match="4 features, but StandardScaler is expecting 5") as error:
        scaler.predict(floats(ops, 3, 4))
    assert error.value.__notes__ == ["in layer sklearnwrapper"]
    with pytest.raises(DTypeError, match="transform of Names must give an array of numbers"):
        wrapped(fitted(Names())).predict(data(ops))
    other = get_ops("jax" if ops.name == "numpy" else "numpy")
    with pytest.raises(ArrayOwnerError):
        scaler.predict(data(other))
