"""What the environment decides: what is imported, what is installed, what TRIOPS_BACKEND says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.interpreter import HIDE, run_python
from tests.subject import ops_or_skip

FRAMEWORKS = ["cupy", "jax", "jaxlib", "keras", "numba", "sklearn", "spacy", "tensorflow", "thinc", "torch"]
CURRENT = "import triops; print(triops.get_current_ops())"
WHY_NOT = """
import triops
try:
    print(triops.get_current_ops())
except triops.errors.BackendUnavailable as error:
    print(error)
"""


def test_import_loads_no_framework() -> None:
    loaded = run_python("import sys, json, triops; print(json.dumps(sorted(sys.modules)))")
    modules = json.loads(loaded)
    assert "triops.ops" in modules
    assert not set(modules) & set(FRAMEWORKS)


def test_numpy_ops_load_no_other_framework() -> None:
    code = """
import sys, triops
ops = triops.get_ops("numpy")
X = ops.asarray([[1.0, 2.0]])
triops.ops_of(ops.softmax(X))
try:
    ops.softmax([1.0])
except triops.errors.DTypeError:
    print(" ".join(sys.modules))
"""
    modules = run_python(code).split()
    assert "numpy" in modules
    assert not set(modules) & (set(FRAMEWORKS) - {"numba"})


@pytest.mark.parametrize(("value", "ops"), [("numpy", "numpy"), (" cpu ", "numpy"), ("", "numpy")])
def test_variable_names_the_backend(value: str, ops: str) -> None:
    assert run_python(CURRENT, TRIOPS_BACKEND=value) == f"<Ops {ops} on cpu:0>"


def test_variable_names_jax() -> None:
    ops = ops_or_skip("jax")
    assert run_python(CURRENT, TRIOPS_BACKEND="jax") == repr(ops)


def test_variable_gives_way_to_a_choice() -> None:
    code = f"import triops; triops.set_current_ops('numpy'); {CURRENT}"
    assert run_python(code, TRIOPS_BACKEND="nunpy") == "<Ops numpy on cpu:0>"


def test_variable_with_a_wrong_name() -> None:
    message = run_python(WHY_NOT, TRIOPS_BACKEND="nunpy")
    assert message.startswith(
        "TRIOPS_BACKEND=nunpy: unknown backend 'nunpy': choose one of 'numpy', 'cupy', 'jax'"
    )


@pytest.mark.parametrize(
    ("name", "install"),
    [("jax", "pip install 'triops[jax]'"), ("cupy", "pip install 'triops[cupy-cuda13x]'")],
)
def test_missing_package(name: str, install: str) -> None:
    code = f"""
{HIDE}
hide("jax", "jaxlib", "cupy")
import triops
status = triops.available_backends()[{name!r}]
assert not status.available
assert status.devices == ()
try:
    triops.get_ops({name!r})
except ImportError as error:
    assert type(error) is triops.errors.BackendUnavailable
    assert str(error) == status.reason
    print(error)
    print(status.install)
assert triops.get_ops("auto") is triops.get_ops("numpy")
"""
    message, advice = run_python(code).splitlines()
    assert message.startswith(f"backend {name!r} needs the package {name!r}, which is not installed: {install}")
    assert advice.startswith(install)


def test_missing_package_that_the_variable_names() -> None:
    message = run_python(f"{HIDE}\nhide('jax')\n{WHY_NOT}", TRIOPS_BACKEND="jax")
    assert message.startswith(
        "TRIOPS_BACKEND=jax: backend 'jax' needs the package 'jax', which is not installed: pip"
    )


@pytest.mark.parametrize(
    "broken",
    [
        "raise ImportError('libcudart.so.13: cannot open shared object file')",
        "raise RuntimeError('jaxlib version 1 is newer than jax version 0')",
    ],
    ids=["shared object", "versions"],
)
def test_package_that_cannot_be_imported(broken: str, tmp_path: Path) -> None:
    """A broken installation of one framework leaves the others alone, and is told apart from a missing one."""
    (tmp_path / "jax.py").write_text(broken)
    code = """
import triops
assert triops.get_ops("auto").name in ("numpy", "cupy")
print(triops.available_backends()["jax"].reason)
"""
    reason = run_python(code, path=tmp_path)
    what = broken.split("'")[1]
    assert reason == f"backend 'jax' cannot be loaded ({what}): pip install 'triops[jax]'"


def test_jax_that_is_too_old(tmp_path: Path) -> None:
    """What makes float64 mean float64 came with JAX 0.10; an older one is refused."""
    for name, text in {
        "jax/__init__.py": "__version__ = '0.4.30'\nclass config: pass\n",
        "jax/numpy.py": "",
        "jaxlib/__init__.py": "__version__ = '0.4.30'\n",
        "jaxlib/version.py": "__version__ = '0.4.30'\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    reason = run_python("import triops; print(triops.available_backends()['jax'].reason)", path=tmp_path)
    assert "triops needs JAX 0.10 or later and found 0.4.30" in reason
    assert "pip install 'triops[jax]'" in reason


def test_pickled_ops_open_in_another_process() -> None:
    code = """
import pickle, subprocess, sys, triops
data = pickle.dumps(triops.get_ops("numpy", "cpu:0"))
again = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()))"
sys.stdout.buffer.write(subprocess.run([sys.executable, "-c", again], input=data, capture_output=True).stdout)
"""
    assert run_python(code) == "<Ops numpy on cpu:0>"
