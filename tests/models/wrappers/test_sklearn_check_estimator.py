"""TriopsClassifier and TriopsRegressor pass every check that scikit-learn makes of an estimator, and none is
expected to fail."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import estimator_checks_generator

from triops.models import Adam, Linear, Model, SparseLinear, TriopsClassifier, TriopsRegressor


def sparse(nO: int, nI: int) -> Model:
    return SparseLinear(nO, 64)


def logits(nO: int, nI: int) -> Model:
    return Linear(nO)


fast = partial(TriopsClassifier, epochs=50, learn_rate=0.05)

ESTIMATORS = {
    "classifier": TriopsClassifier(),
    "regressor": TriopsRegressor(),
    "regressor of L2": TriopsRegressor(
        hidden=(16, 8), optimizer=partial(Adam, L2=0.001), learn_rate=0.01, epochs=60
    ),
    "logits": fast(logits),
    "sparse": fast(sparse),
}


# scikit-learn's own decorator names a check by all settings, with the address of a function among them, which
# is another one in each worker.
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator, check, id=f"{name}-{number}-{check.func.__name__}")
        for name, kind in ESTIMATORS.items()
        for number, (estimator, check) in enumerate(estimator_checks_generator(kind))
    ],
)
def test_sklearns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)
