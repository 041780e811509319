"""TriopsClassifier and TriopsRegressor at work: in pipelines and searches, with weights, sparse rows, early
stopping, on every backend, saved and loaded."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.samples import ops_or_skip
from tests.models.sealed import opened, sealed
from triops import Ops
from triops.errors import ArgumentError, BackendUnavailable, LoadError
from triops.models import SGD, Adam, Dropout, LayerNorm, Linear, Model, Relu, Softmax, SparseLinear, chain

pytest.importorskip("sklearn")

from scipy.sparse import csc_array, csr_array, csr_matrix
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from triops.models import TriopsClassifier, TriopsRegressor

X, labels = make_blobs(120, centers=3, n_features=4, cluster_std=2.0, random_state=0)
y = np.array(["ant", "bee", "cat"])[labels]
X_r, y_r = make_regression(120, 5, noise=1.0, random_state=0)
y_r = scale(y_r)

quick = partial(TriopsClassifier, hidden=16, epochs=30, learn_rate=0.02, batch_size=32, random_state=0)
quick_r = partial(TriopsRegressor, hidden=16, epochs=40, learn_rate=0.02, batch_size=32, random_state=0)


def normalized(nO: int, nI: int) -> Model:
    return chain(LayerNorm(nI), Relu(16, nI), Dropout(), Linear(nO))


def bag(nO: int, nI: int) -> Model:
    return SparseLinear(nO, 512)


def bag_and_more(nO: int, nI: int) -> Model:
    return chain(SparseLinear(8, 512), Linear(nO))


# -- fitting and predicting


def test_it_learns_and_names_the_labels() -> None:
    model = quick().fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.predict(X[:2]).tolist() == y[:2].tolist()
    assert model.classes_.tolist() == ["ant", "bee", "cat"]
    P = model.predict_proba(X)
    assert P.shape == (120, 3)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-6)
    assert model.n_iter_ == len(model.loss_curve_) == 30
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]


def test_the_loss_curve_is_the_cross_entropy() -> None:
    weights = np.linspace(0, 2, 120)
    for model in (quick(learn_rate=1e-12, epochs=1), quick(normalized, learn_rate=1e-12, epochs=1)):
        model.fit(X, y, sample_weight=weights)
        losses = -np.log(model.predict_proba(X)[np.arange(120), labels])
        assert model.loss_curve_[0] == pytest.approx(np.average(losses, weights=weights), rel=1e-6)


def test_one_output_or_several() -> None:
    one = quick_r().fit(X_r, y_r)
    assert one.score(X_r, y_r) > 0.9
    assert one.predict(X_r).shape == (120,)
    several = quick_r().fit(X_r, np.stack([y_r, -y_r], axis=1))
    np.testing.assert_allclose(several.predict(X_r)[:, 0], -several.predict(X_r)[:, 1], atol=0.5)
    assert quick_r().fit(X_r, y_r[:, None]).predict(X_r).shape == (120, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_of_the_data_is_that_of_the_model(dtype: str) -> None:
    model = quick(epochs=2).fit(X.astype(dtype), y)
    assert model.predict_proba(X.astype(dtype)).dtype == dtype
    assert model.predict_proba(X).dtype == dtype
    assert {node.get_param(name).dtype.name for node in model.model_.walk() for name in node.param_names} == {
        dtype
    }


def test_backends_learn_the_same() -> None:
    ops_or_skip("jax")
    P = [quick(backend=name).fit(X, y).predict_proba(X) for name in ("numpy", "jax")]
    np.testing.assert_allclose(*P, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "model", [normalized, chain(Relu(16), Softmax()), Linear()], ids=["function", "chain", "layer"]
)
def test_any_model_can_be_inside(ops: Ops, model: Any) -> None:
    wrapped = quick(model, backend=ops, dropout=0.1).fit(X, y)
    assert wrapped.score(X, y) > 0.85
    assert wrapped.model_.ops is ops
    if isinstance(model, Model):
        assert model.has_dim("nI") is None
        assert wrapped.model_ is not model


def test_random_state_makes_fits_repeat() -> None:
    P = [quick(random_state=seed, dropout=0.2).fit(X, y).predict_proba(X) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(P[0], P[1])
    assert not np.allclose(P[0], P[2])


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "radam", "sgd", Adam, partial(SGD, momentum=0.9)])
def test_optimizers_by_name_or_function(optimizer: Any) -> None:
    assert quick(optimizer=optimizer, learn_rate=0.05).fit(X, y).score(X, y) > 0.85


def test_learn_rate_may_be_a_schedule() -> None:
    still = quick(learn_rate=lambda step: 0.0, epochs=2).fit(X, y)
    assert still.loss_curve_[0] == pytest.approx(np.log(3))
    assert still.loss_curve_[1] == pytest.approx(np.log(3))


# -- weights


def test_weights_are_as_repeated_rows() -> None:
    weights = np.arange(120) % 3
    settings = {"batch_size": 1000, "epochs": 20}
    weighted = quick(**settings).fit(X, y, sample_weight=weights)
    repeated = quick(**settings).fit(X.repeat(weights, axis=0), y.repeat(weights))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-5, atol=1e-8)


def test_class_weights() -> None:
    few = np.r_[np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:5]]
    balanced = quick(class_weight="balanced", batch_size=1000, epochs=20).fit(X[few], y[few])
    by_hand = quick(batch_size=1000, epochs=20).fit(X[few], y[few], np.where(labels[few] == 0, 5 / 40, 1.0))
    np.testing.assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X), rtol=1e-5)


# -- going on


def test_partial_fit_learns_batch_by_batch() -> None:
    model = quick()
    for _ in range(30):
        for start in range(0, 120, 40):
            model.partial_fit(X[start : start + 40], y[start : start + 40], classes=["bee", "ant", "cat"])
    assert model.score(X, y) > 0.9
    assert model.n_iter_ == 90
    with pytest.raises(
        ValueError, match=r"y holds the labels \['dog'\], the model was made for \['ant', 'bee', 'cat'\]"
    ):
        model.partial_fit(X[:2], ["ant", "dog"])
    with pytest.raises(ValueError, match="the first partial_fit needs all labels"):
        quick().partial_fit(X, y)
    with pytest.raises(ValueError, match="class_weight='balanced' needs all labels at once"):
        quick(class_weight="balanced").partial_fit(X, y, classes=["ant", "bee", "cat"])
    regressor = quick_r().partial_fit(X_r, y_r)
    with pytest.raises(ValueError, match="y must have 1 outputs, as before, got 2"):
        regressor.partial_fit(X_r, np.stack([y_r, y_r], axis=1))


def test_warm_start_goes_on_and_without_it_fit_starts_anew() -> None:
    warm, cold = quick(warm_start=True, epochs=5).fit(X, y), quick(epochs=5).fit(X, y)
    first = warm.loss_curve_[-1]
    assert warm.fit(X, y).n_iter_ == 10
    assert warm.loss_curve_[5] < first
    curve = cold.loss_curve_
    assert cold.fit(X, y).loss_curve_ == curve
    warm.fit(X[labels < 2], y[labels < 2])
    assert warm.classes_.tolist() == ["ant", "bee", "cat"]


def test_early_stopping_keeps_the_best_weights() -> None:
    model = quick(early_stopping=True, epochs=200, patience=5, validation_fraction=0.3).fit(X, y)
    assert model.n_iter_ < 200
    assert len(model.validation_scores_) == model.n_iter_
    best = max(model.validation_scores_)
    assert max(model.validation_scores_[-5:]) <= best
    # The last weights of a rate that is much too high are worse than the best.
    wild = quick(early_stopping=True, epochs=15, patience=15, learn_rate=30.0, validation_fraction=0.9)
    wild.fit(X, y)
    everyone = wild.score(X, y)
    assert everyone >= max(wild.validation_scores_) - 0.02
    regressor = quick_r(early_stopping=True, epochs=100, patience=3).fit(X_r, y_r)
    assert max(regressor.validation_scores_) > 0.8


# -- inside scikit-learn


def test_pipelines_searches_and_clones() -> None:
    pipeline = make_pipeline(StandardScaler(), quick())
    grid = {"triopsclassifier__hidden": [(4,), (8, 8)], "triopsclassifier__optimizer": ["adam", "sgd"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.85
    assert cross_val_score(pipeline, X, y, cv=2).mean() > 0.85
    model = quick(normalized, class_weight={"ant": 2.0})
    assert clone(model).get_params() == model.get_params()
    assert "class_weight" not in TriopsRegressor().get_params()


def test_searches_in_other_processes() -> None:
    search = GridSearchCV(quick(epochs=5), {"dropout": [0.0, 0.5]}, cv=2, n_jobs=2).fit(X, y)
    assert search.score(X, y) > 0.8


def test_a_fitted_estimator_is_pickled(ops: Ops) -> None:
    model = quick(backend=ops).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.partial_fit(X, y).n_iter_ == 31


# -- sparse rows


@pytest.mark.parametrize("form", [csr_array, csr_matrix, csc_array])
@pytest.mark.parametrize("model", [None, bag, bag_and_more], ids=["dense", "keys", "keys in a chain"])
def test_sparse_rows_are_as_dense_ones(form: Any, model: Any) -> None:
    thin = np.where(X > 1, X, 0)
    thin[3] = 0
    dense, sparse = (quick(model, epochs=10).fit(rows, y) for rows in (thin, form(thin)))
    np.testing.assert_allclose(sparse.predict_proba(form(thin)), dense.predict_proba(thin), rtol=1e-6)
    np.testing.assert_allclose(sparse.predict_proba(thin), dense.predict_proba(thin), rtol=1e-6)
    assert sparse.score(thin, y) > 0.6


def test_a_million_columns_are_never_made_dense() -> None:
    texts = ["free prize now", "win a free phone", "see you at lunch", "lunch at noon then"] * 5
    rows = HashingVectorizer(n_features=2**26).transform(texts)
    model = TriopsClassifier(bag, epochs=20, learn_rate=0.05, random_state=0).fit(
        rows, ["spam", "spam", "ham", "ham"] * 5
    )
    assert model.score(rows, ["spam", "spam", "ham", "ham"] * 5) == 1


# -- saving


@pytest.mark.parametrize(
    ("estimator", "data"),
    [
        (quick(dropout=0.1, class_weight={"bee": 2.0}, epochs=np.int64(3)), (X, y)),
        (quick(normalized, epochs=2), (X.astype("float32"), labels)),
        (quick(epochs=2), (X, y.astype(object))),
        (quick_r(hidden=(4, 4), epochs=2), (X_r, y_r)),
        (quick_r(epochs=2), (X_r, np.stack([y_r, y_r], axis=1))),
    ],
)
def test_an_estimator_goes_to_disk_and_back(estimator: Any, data: Any, tmp_path: Path) -> None:
    estimator.fit(*data).to_disk(tmp_path / "estimator")
    assert b"pickle" not in (tmp_path / "estimator").read_bytes()
    new = type(estimator)(estimator.model)
    assert new.from_disk(tmp_path / "estimator") is new
    np.testing.assert_array_equal(new.predict(data[0]), estimator.predict(data[0]))
    assert new.get_params() == estimator.get_params()
    assert new.loss_curve_ == estimator.loss_curve_
    assert new.n_features_in_ == data[0].shape[1]
    new.partial_fit(*data)
    assert new.n_iter_ == estimator.n_iter_ + 1


def test_a_model_saved_on_one_backend_loads_on_another(tmp_path: Path) -> None:
    ops_or_skip("jax")
    model = quick(backend="jax", epochs=2).fit(X, y)
    model.to_disk(tmp_path / "model")
    loaded = quick(backend="numpy").from_disk(tmp_path / "model")
    assert loaded.backend == "numpy"
    np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), rtol=1e-6)


def test_names_of_columns_come_back(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    quick(epochs=1).fit(frame, y).to_disk(tmp_path / "model")
    loaded = quick().from_disk(tmp_path / "model")
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert loaded.predict(frame).shape == (120,)


def test_what_does_not_fit_does_not_load(tmp_path: Path) -> None:
    path = tmp_path / "model"
    quick(normalized, epochs=1).fit(X, y).to_disk(path)
    model = quick(epochs=1).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(LoadError, match="layers in all"):
        model.from_disk(path)
    with pytest.raises(LoadError, match="the saved estimator is a TriopsClassifier"):
        TriopsRegressor().from_disk(path)
    data = path.read_bytes()
    for damaged in (b"", b"text", data[:-1], data[:100], data[:50] + b"!" + data[51:]):
        path.write_bytes(damaged)
        with pytest.raises(LoadError, match="is no saved estimator, or it is damaged"):
            model.from_disk(path)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    with pytest.raises(NotFittedError):
        quick().to_disk(path)


def test_a_file_sets_nothing_but_what_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "model"
    quick(epochs=1).fit(X, y).to_disk(path)
    for section, name, match in (
        ("fitted", "predict", r"holds \['predict'\], which no TriopsClassifier has"),
        ("settings", "n_jobs", "Invalid parameter 'n_jobs'"),
        ("fitted", "classes_", "labels must be numbers or strings"),
    ):
        saved = opened(path.read_bytes())
        saved[section][name] = {"dtype": "<M8[s]", "values": [0]}
        changed = tmp_path / "changed"
        changed.write_bytes(sealed(saved))
        with pytest.raises(LoadError, match=match):
            quick().from_disk(changed)


# -- progress, and what is refused


def test_progress_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    quick(epochs=2).fit(X, y)
    assert capsys.readouterr() == ("", "")
    quick(epochs=2, verbose=True, early_stopping=True).fit(X, y)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("epoch 2 of 2: loss 0.")
    assert ", score " in err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": (8, 0)}, r"hidden must be one width from 1, or a tuple of these, got \(8, 0\)"),
        ({"dropout": 1.0}, "dropout must be from 0 up to, not including, 1, got 1.0"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"epochs": 0}, "epochs must be 1 or more, got 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1, got 1.0"),
        ({"patience": 0}, "patience must be 1 or more, got 0"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of adam, adamw, radam, sgd, or a function"),
        ({"model": "mlp"}, r"model must be a triops model, or a function of \(nO, nI\)"),
        ({"model": lambda nO, nI: 3}, r"model\(nO, nI\) must return a triops model, got int"),
        ({"model": Softmax(2)}, "the model must have 3 outputs|dimension nO"),
        ({"learn_rate": -1}, "learn_rate must be a finite number from 0"),
    ],
)
def test_wrong_settings_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ArgumentError if "model" not in settings else ValueError, match=message):
        quick(**settings).fit(X, y)


def test_a_backend_that_is_not_here_is_named() -> None:
    with pytest.raises(BackendUnavailable, match="unknown backend 'tensor'"):
        quick(backend="tensor").fit(X, y)
