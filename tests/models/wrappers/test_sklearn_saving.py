"""Estimators are saved by skops inside a model; what is damaged, foreign or not trusted does not load."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.samples import other_ops
from tests.models.sealed import opened, sealed
from triops import Model, Ops, to_numpy, use_ops
from triops.errors import LoadError, SaveError, UninitializedError
from triops.models import Adam, Relu, Softmax, chain

pytest.importorskip("sklearn")
pytest.importorskip("skops")

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from triops.models import SklearnWrapper

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 5))
y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)


class Own(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer that skops has never heard of."""

    def fit(self, X: Any, y: Any = None) -> Own:
        self.scale_ = X.std()
        return self

    def transform(self, X: Any) -> Any:
        return X / self.scale_


FITTED = {
    "sgd": lambda: SGDClassifier(loss="log_loss").partial_fit(X, y, classes=[0, 1, 2]),
    "sgd regressor": lambda: SGDRegressor().partial_fit(X, y),
    "mlp": lambda: MLPClassifier((4,)).partial_fit(X, y, classes=[0, 1, 2]),
    "mlp, sgd": lambda: MLPRegressor(hidden_layer_sizes=(4,), solver="sgd").partial_fit(X, y),
    "naive bayes": lambda: GaussianNB().fit(X, y),
    "forest": lambda: RandomForestClassifier(3).fit(X, y),
    "pipeline": lambda: make_pipeline(StandardScaler(), PCA(2)).fit(X),
}


def saved_estimator(model: Model) -> bytes:
    data = opened(model.to_bytes())["nodes"][0]["params"]
    assert isinstance(data, bytes)
    return data


def with_estimator(model: Model, data: Any) -> bytes:
    content = opened(model.to_bytes())
    content["nodes"][0]["params"] = data
    return sealed(content)


def refuses(model: Any, data: bytes, match: str) -> None:
    before = model.estimator
    with pytest.raises(LoadError, match=match):
        model.from_bytes(data)
    assert model.estimator is before


@pytest.mark.parametrize("name", FITTED)
def test_an_estimator_comes_back_on_every_backend(ops: Ops, name: str) -> None:
    estimator = FITTED[name]()
    model = SklearnWrapper(estimator).initialize(ops.asarray(X))
    data = model.to_bytes()
    for target in (ops, other_ops(ops)):
        with use_ops(target):
            new = type(estimator)(**estimator.get_params(deep=False))
            # Indices inside a tree are not checked, so that skops leaves it to the user to trust them.
            loaded = SklearnWrapper(new, trusted=["sklearn.tree._tree.Tree"]).from_bytes(data)
        Y = loaded.predict(target.asarray(X))
        np.testing.assert_allclose(to_numpy(Y), to_numpy(model.predict(ops.asarray(X))), rtol=1e-5, atol=1e-6)
        assert loaded.dim_names == ("nI", "nO")
        assert loaded.get_dim("nI") == 5


def test_a_larger_model_goes_to_disk_and_learns_on(ops: Ops, tmp_path: Path) -> None:
    def build() -> Model:
        scaler, linear = SklearnWrapper(StandardScaler()), SklearnWrapper(SGDClassifier(loss="log_loss"))
        return chain(scaler, Relu(6), linear)

    model = build()
    model.layers[0].estimator.fit(X)  # type: ignore[attr-defined]
    model.initialize(ops.asarray(X), ops.asarray(y), seed=3)
    model.to_disk(tmp_path / "model")
    loaded = build().from_disk(tmp_path / "model")
    for one in (model, loaded):
        Yh, backprop = one.begin_update(ops.asarray(X))
        backprop(Yh, sgd=Adam(0.1))
    np.testing.assert_array_equal(
        to_numpy(loaded.predict(ops.asarray(X))), to_numpy(model.predict(ops.asarray(X)))
    )


def test_what_is_left_out_stays(ops: Ops) -> None:
    model = SklearnWrapper(FITTED["pipeline"]())
    new = SklearnWrapper(make_pipeline(StandardScaler(), PCA(2)))
    assert not new.from_bytes(model.to_bytes(params=False)).is_fitted
    assert not new.from_bytes(model.to_bytes(), exclude=["params"]).is_fitted
    with pytest.raises(UninitializedError):
        new.predict(ops.asarray(X))


def test_texts_in_a_saved_model(ops: Ops) -> None:
    texts = ["one fish", "two fish", "red"]
    model = chain(SklearnWrapper(TfidfVectorizer().fit(texts)), Softmax(2)).initialize(texts, [0, 1, 1])
    loaded = chain(SklearnWrapper(TfidfVectorizer()), Softmax(2)).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(to_numpy(loaded.predict(texts)), to_numpy(model.predict(texts)))


def test_a_type_of_ones_own_must_be_trusted(ops: Ops) -> None:
    model = SklearnWrapper(Own().fit(X))
    own = f"{Own.__module__}.Own"
    refuses(SklearnWrapper(Own()), model.to_bytes(), "not trusted.*test_sklearn_saving.*trusted=")
    loaded = SklearnWrapper(Own(), trusted=[own]).from_bytes(model.to_bytes())
    np.testing.assert_allclose(to_numpy(loaded.predict(ops.asarray(X))), X / X.std(), rtol=1e-5)


def test_no_module_is_imported_to_find_out_about_it(ops: Ops, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "runs_on_import.py").write_text("raise AssertionError('code ran while loading')")
    monkeypatch.syspath_prepend(tmp_path)
    model = SklearnWrapper(FITTED["naive bayes"]())
    with zipfile.ZipFile(io.BytesIO(saved_estimator(model))) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    for place in ("__module__", "content"):
        changed = dict(schema)
        if place == "__module__":
            changed["__module__"] = "runs_on_import"
        else:
            changed["content"] = {**schema["content"], "__module__": "runs_on_import", "__class__": "Thing"}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for part, content in {**parts, "schema.json": json.dumps(changed).encode()}.items():
                archive.writestr(part, content)
        refuses(SklearnWrapper(GaussianNB()), with_estimator(model, buffer.getvalue()), "runs_on_import")
    assert "runs_on_import" not in sys.modules


def test_damaged_bytes_and_other_estimators_are_refused(ops: Ops) -> None:
    model, new = SklearnWrapper(FITTED["naive bayes"]()), SklearnWrapper(GaussianNB())
    data = saved_estimator(model)
    for damaged in (b"", b"garbage", data[:-1], data[: len(data) // 2], data[100:]):
        refuses(new, with_estimator(model, damaged), "does not read as skops")
    for wrong in (None, "text", [1], {"a": 1}):
        refuses(new, with_estimator(model, wrong), "must be bytes of skops")
    refuses(
        SklearnWrapper(FITTED["forest"]()), model.to_bytes(), "expected a RandomForestClassifier, .* GaussianNB"
    )


def test_compressed_bytes_are_refused(ops: Ops) -> None:
    model = SklearnWrapper(FITTED["naive bayes"]())
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved_estimator(model))) as archive,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as larger,
    ):
        for part in archive.namelist():
            larger.writestr(part, archive.read(part))
    refuses(SklearnWrapper(GaussianNB()), with_estimator(model, buffer.getvalue()), "is compressed")


def test_nothing_is_unpickled(ops: Ops) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return pytest.fail, ("code ran while loading",)

    model = SklearnWrapper(GaussianNB())
    refuses(model, with_estimator(model, pickle.dumps(Runs())), "does not read as skops")


def test_what_skops_cannot_save_is_named(ops: Ops) -> None:
    estimator = Own().fit(X)
    estimator.scale_ = (value for value in X)
    with pytest.raises(SaveError, match="skops cannot save this Own"):
        SklearnWrapper(estimator).to_bytes()
