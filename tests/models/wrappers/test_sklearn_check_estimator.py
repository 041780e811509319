"""TriopsClassifier and TriopsRegressor pass every check that scikit-learn makes of an estimator, and none is
expected to fail."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from triops.models import Adam, Linear, Model, SparseLinear, TriopsClassifier, TriopsRegressor


def sparse(nO: int, nI: int) -> Model:
    return SparseLinear(nO, 64)


def logits(nO: int, nI: int) -> Model:
    return Linear(nO)


fast = partial(TriopsClassifier, epochs=50, learn_rate=0.05)

ESTIMATORS = [
    TriopsClassifier(),
    TriopsRegressor(),
    TriopsRegressor(hidden=(16, 8), optimizer=partial(Adam, L2=0.001), learn_rate=0.01, epochs=60),
    fast(logits),
    fast(sparse),
]


@parametrize_with_checks(ESTIMATORS)  # type: ignore[untyped-decorator]
def test_sklearns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)
