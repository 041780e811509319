"""Kernels that are made from one name, in the cache that processes share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interpreter import run_python

pytest.importorskip("numba")

MADE = """
import sys
import numpy as np
from triops.backends.numpy.compiled.build import Kernel

made = "def kernel(X, Y):\\n    for i in range(X.shape[0]):\\n        Y[i] = X[i] + np.float32({0})"
X, Y = np.zeros((2, 8), np.float32)
for work in (1, 100):
    Kernel(("made", made.format(sys.argv[1])), {"np": np}, {"X": 1, "Y": 1}, threshold=10).run(work, X, Y)
print(Y.tolist() == [float(sys.argv[1])] * 8)
"""


def test_one_form_is_not_taken_for_another(tmp_path: Path) -> None:
    for number in "12":
        script = MADE.replace("sys.argv[1]", repr(number))
        assert run_python(script, NUMBA_CACHE_DIR=str(tmp_path)) == "True"
