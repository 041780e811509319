"""Without torch triops works, and says what to install once torch is asked for."""

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
    ("hidden", "name"),
    [("thinc", f"triops.models.{name}") for name in ("ThincWrapper", "to_thinc", "load_thinc")]
    + [("thinc", "triops.accelerate_thinc"), ("spacy", "triops.models.FeatureExtractor")],
)
def test_what_thinc_and_spacy_bring_says_what_to_install(hidden: str, name: str) -> None:
    said = run_python(ASK.format(hidden=hidden, ask=name))
    assert repr(hidden) in said
    assert f"pip install 'triops[{hidden}]'" in said


def test_models_do_not_load_torch_thinc_or_spacy() -> None:
    ask = "import sys, triops.models; print({'torch', 'thinc', 'spacy'} & set(sys.modules))"
    assert run_python(ask) == "set()"
