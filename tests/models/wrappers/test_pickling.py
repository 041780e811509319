"""Models around other libraries' objects go to other processes by pickle, and say which layer cannot. Those of
JAX, TensorFlow and Keras have it in their contract."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.models.wrappers.contract import CONTRACT
from triops import Ops, get_ops, to_numpy, use_ops
from triops.errors import ArgumentError
from triops.models import Relu, chain


def torchs() -> Any:
    torch = pytest.importorskip("torch")
    from triops.models import PyTorchWrapper

    torch.manual_seed(0)
    return PyTorchWrapper(torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)))


def thincs() -> Any:
    thinc = pytest.importorskip("thinc.api")
    from triops.models import ThincWrapper

    thinc.fix_random_seed(0)
    return ThincWrapper(thinc.chain(thinc.Relu(5, 4), thinc.Linear(3, 5)).initialize())


def sklearns() -> Any:
    linear_model = pytest.importorskip("sklearn.linear_model")
    pytest.importorskip("skops")
    from triops.models import SklearnWrapper

    estimator = linear_model.SGDClassifier(random_state=0).fit(np.eye(6, 4), [0, 1, 2, 0, 1, 2])
    return SklearnWrapper(estimator, output="decision_function").initialize(np.zeros((1, 4), "float32"))


@pytest.mark.parametrize("make", [torchs, thincs, sklearns])
@pytest.mark.parametrize("rule", ["a_copy_is_a_model_of_its_own", "pickled_it_is_a_model_of_its_own"])
def test_contract(make: Callable[[], Any], rule: str) -> None:
    with use_ops("numpy") as ops:
        CONTRACT[rule](ops, make)


def torchs_with_a_lambda() -> Any:
    torchs()
    from tests.models.wrappers.modules import Own
    from triops.models import PyTorchWrapper

    return PyTorchWrapper(Own(lambda X, p: X * p), name="mine")


def thincs_with_a_lambda() -> Any:
    thincs()
    import thinc.api

    from triops.models import ThincWrapper

    return ThincWrapper(thinc.api.Model("m", lambda model, X, is_train: (X, lambda dY: dY)), name="mine")


def sklearns_with_a_lambda() -> Any:
    sklearns()
    from sklearn.preprocessing import FunctionTransformer

    from triops.models import SklearnWrapper

    return SklearnWrapper(FunctionTransformer(lambda X: X), name="mine")


def tensorflows_function() -> Any:
    tf = pytest.importorskip("tensorflow")
    from triops.models import TensorFlowWrapper

    W = tf.Variable(1.0)
    return TensorFlowWrapper(tf.function(lambda X: X * W), [W], name="mine")


@pytest.mark.parametrize(
    "make", [torchs_with_a_lambda, thincs_with_a_lambda, sklearns_with_a_lambda, tensorflows_function]
)
def test_what_cannot_be_pickled_is_named(make: Callable[[], Any]) -> None:
    with use_ops("numpy"):
        model = chain(Relu(4, 4), make())
    with pytest.raises(ArgumentError, match=r"^mine: .*pickled"):
        pickle.dumps(model)


def _predicted(model: Any, X: Any) -> Any:
    return to_numpy(model.predict(X))


@pytest.mark.slow
@pytest.mark.parametrize("make", [torchs, thincs, sklearns])
def test_in_another_process(make: Callable[[], Any]) -> None:
    ops: Ops = get_ops("numpy")
    with use_ops(ops):
        model, X = make(), ops.draw_normal(1, (6, 4))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(_predicted, (model, X))
    np.testing.assert_allclose(found, _predicted(model, X), rtol=1e-5, atol=1e-6)
