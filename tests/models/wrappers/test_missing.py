"""Without a wrapper's library triops works, and says what to install once the wrapper is asked for."""

from __future__ import annotations

import pytest

from tests.interpreter import HIDE, run_python

ASK = (
    HIDE
    + """
hide({hidden!r})
import triops.models
try:
    {ask}
except triops.errors.BackendUnavailable as error:
    print(error)
"""
)


@pytest.mark.parametrize("hidden", ["torch", "safetensors"])
@pytest.mark.parametrize("ask", ["triops.models.PyTorchWrapper", "from triops.models import PyTorchWrapper"])
def test_a_wrapper_without_its_library_says_what_to_install(hidden: str, ask: str) -> None:
    pytest.importorskip("torch" if hidden == "safetensors" else "safetensors")
    said = run_python(ASK.format(hidden=hidden, ask=ask))
    assert said.startswith("PyTorchWrapper needs the packages torch and safetensors")
    assert repr(hidden) in said
    assert "pip install 'triops[torch]'" in said


@pytest.mark.parametrize(
    ("wrapper", "hidden"),
    [
        ("SklearnWrapper", "sklearn"),
        ("SklearnWrapper", "skops"),
        ("TriopsClassifier", "sklearn"),
        ("TriopsRegressor", "sklearn"),
    ],
)
def test_without_scikit_learn_or_skops_it_says_what_to_install(wrapper: str, hidden: str) -> None:
    pytest.importorskip("sklearn")
    said = run_python(ASK.format(hidden=hidden, ask=f"triops.models.{wrapper}"))
    assert wrapper in said.partition(" need")[0]
    assert repr(hidden) in said
    assert "pip install 'triops[sklearn]'" in said


@pytest.mark.parametrize(
    ("wrapper", "library"), [("Jax", "jax"), ("Keras", "keras"), ("TensorFlow", "tensorflow")]
)
def test_every_wrapper_says_so(wrapper: str, library: str) -> None:
    said = run_python(ASK.format(hidden=library, ask=f"triops.models.{wrapper}Wrapper"))
    assert said.startswith(f"{wrapper}Wrapper needs the package {library}")
    assert repr(library) in said
    assert f"pip install 'triops[{library}]'" in said


def test_models_load_no_wrapped_library() -> None:
    libraries = {"torch", "jax", "sklearn", "skops", "keras", "tensorflow", "equinox", "flax", "thinc", "spacy"}
    assert run_python(f"import sys, triops.models; print({libraries} & set(sys.modules))") == "set()"


@pytest.mark.parametrize(
    ("hidden", "name"),
    [("thinc", f"triops.models.{name}") for name in ("ThincWrapper", "to_thinc", "load_thinc")]
    + [("thinc", "triops.accelerate_thinc"), ("spacy", "triops.models.FeatureExtractor")],
)
def test_what_thinc_and_spacy_bring_says_what_to_install(hidden: str, name: str) -> None:
    said = run_python(ASK.format(hidden=hidden, ask=name))
    assert repr(hidden) in said
    assert f"pip install 'triops[{hidden}]'" in said
