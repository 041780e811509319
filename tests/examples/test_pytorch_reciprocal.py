"""The example of PyTorch beside our own layer."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.subject import ops_or_skip
from triops import to_numpy

pytest.importorskip("torch")
pytest.importorskip("safetensors")


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_both_learn_and_learn_the_same(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    ops_or_skip(backend)
    example = importlib.import_module("examples.pytorch_reciprocal")
    trained = example.main(["--backend", backend, "--steps", "40"])
    (theirs, their_losses), (ours, our_losses) = trained["PyTorch"], trained["triops"]
    for losses in (their_losses, our_losses):
        assert losses[-1] < 0.5 * losses[0]
    for name, own_name in (("weight", "W"), ("bias", "b")):
        theirs_now, ours_now = to_numpy(theirs.get_param(name)), to_numpy(ours.get_param(own_name))
        np.testing.assert_allclose(theirs_now, ours_now, rtol=1e-5, atol=1e-5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["step", "PyTorch", "triops"]
    assert [len(line) for line in lines] == [len(lines[0])] * (1 + len(our_losses))
    assert [float(line.split()[1]) for line in lines[1:]] == pytest.approx(their_losses, abs=1e-6)
