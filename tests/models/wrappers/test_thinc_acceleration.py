"""Thinc computes the same with triops' kernels, in all that was made before and after, and goes back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import triops

t = pytest.importorskip("thinc.api")
from triops.models.wrappers.thinc_ops import TriopsOps  # noqa: E402

PLUGIN = """
import triops

def pytest_collection_finish(session):
    triops.accelerate_thinc()  # the ops that the tests were collected with, too
"""
# Thinc's comparison with PyTorch fails without triops, too: it takes arrays for numbers, which NumPy ended.
UNCOLLECTED = "not test_compare_activations_to_torch"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    triops.restore_thinc()


def floats(*shape: int, seed: int = 0, dtype: str = "float32") -> Any:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


LENGTHS = np.array([3, 1, 2, 4], dtype="int32")
IDS = np.random.default_rng(1).integers(0, 2**64, 7, dtype="uint64")
WHICH = np.array([[0, 2], [1, 1]], dtype="int32")

# Method, and arguments that triops takes.
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("gemm", (floats(5, 4), floats(4, 3)), {}),
    ("gemm", (floats(4, 5), floats(3, 4)), {"trans1": True, "trans2": True}),
    ("affine", (floats(5, 4), floats(3, 4), floats(3)), {}),
    ("maxout", (floats(6, 4, 3),), {}),
    ("backprop_maxout", (floats(2, 2), WHICH, 3), {}),
    ("seq2col", (floats(10, 3), 1), {"lengths": LENGTHS}),
    ("backprop_seq2col", (floats(10, 9), 1), {"lengths": LENGTHS}),
    ("hash", (IDS, 5), {}),
    ("ngrams", (2, IDS), {}),
    ("gather_add", (floats(9, 4), np.random.default_rng(2).integers(0, 9, (5, 4), dtype="uint32")), {}),
    ("reduce_sum", (floats(10, 3), LENGTHS), {}),
    ("reduce_mean", (floats(10, 3), LENGTHS), {}),
    ("reduce_max", (floats(10, 3), LENGTHS), {}),
    ("backprop_reduce_sum", (floats(4, 3), LENGTHS), {}),
    ("backprop_reduce_mean", (floats(4, 3), LENGTHS), {}),
    ("backprop_reduce_max", (floats(4, 2), np.array([[2, 0], [0, 0], [1, 0], [3, 1]], "int32"), LENGTHS), {}),
    ("softmax", (floats(5, 4),), {"temperature": 2.0}),
    ("backprop_softmax", (floats(5, 4), floats(5, 4, seed=1)), {}),
    ("clipped_linear", (floats(5, 4),), {"slope": 0.3, "offset": 0.1}),
    ("backprop_clipped_linear", (floats(5, 4), floats(5, 4, seed=1)), {"slope": 0.3}),
    ("erf", (floats(5, 4),), {}),
    *((name, (floats(5, 4),), {}) for name in ("relu", "sigmoid", "swish", "hard_swish", "dish", "mish")),
    *((name, (floats(5, 4),), {}) for name in ("gelu", "gelu_approx", "hard_swish_mobilenet", "hard_tanh")),
    *(
        (f"backprop_{name}", (floats(5, 4), floats(5, 4, seed=1)), {})
        for name in ("relu", "sigmoid", "hard_swish", "dish", "mish", "gelu", "gelu_approx", "relu_k")
    ),
    ("backprop_swish", (floats(5, 4), floats(5, 4, seed=1), t.NumpyOps().swish(floats(5, 4, seed=1))), {}),
]


def each(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def assert_same(ours: Any, theirs: Any) -> None:
    for one, other in zip(each(ours), each(theirs), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize(("name", "args", "settings"), CALLS, ids=[name for name, *_ in CALLS])
def test_an_op_gives_what_thinc_gives(name: str, args: Any, settings: Any) -> None:
    before = [np.array(arg) for arg in args]
    ours, theirs = (getattr(ops, name)(*args, **settings) for ops in (TriopsOps(), t.NumpyOps()))
    assert_same(ours, theirs)
    for arg, copy in zip(args, before, strict=True):
        np.testing.assert_array_equal(arg, copy)


@pytest.mark.parametrize("name", [name for name, args, _ in CALLS if np.asarray(args[0]).dtype == "float32"])
def test_other_dtypes_and_memory_are_thincs(name: str) -> None:
    if name in ("gemm", "affine"):
        pytest.skip("BLIS takes float32 alone")
    (args, settings) = next((args, settings) for known, args, settings in CALLS if known == name)
    wide = [arg.astype("float64") if getattr(arg, "dtype", None) == "float32" else arg for arg in args]
    assert_same(*(getattr(ops, name)(*wide, **settings) for ops in (TriopsOps(), t.NumpyOps())))


def test_a_product_of_views_and_into_an_array() -> None:
    X, Y = floats(4, 10)[:, ::2], floats(3, 5).T
    out = np.empty((4, 3), "float32")
    assert TriopsOps().gemm(X, Y, out=out) is out
    assert_same(out, t.NumpyOps().gemm(X, Y))


@pytest.mark.parametrize(
    "call",
    [
        lambda ops: ops.gemm(floats(2, 3), floats(4, 2)),
        lambda ops: ops.gemm(floats(2, 3, dtype="float64"), floats(3, 2)),
        lambda ops: ops.reduce_sum(floats(4, 3), np.array([-1, 5], "int32")),
        lambda ops: ops.backprop_maxout(floats(2, 2), WHICH, 2),
        lambda ops: ops.backprop_relu(floats(2, 2), floats(3, 2)),
        lambda ops: ops.backprop_swish(floats(2, 2), floats(2, 2), floats(3, 2)),
    ],
)
def test_errors_are_thincs(call: Any) -> None:
    with pytest.raises((ValueError, IndexError)) as theirs:
        call(t.NumpyOps())
    with pytest.raises(theirs.type, match=str(theirs.value)[:10].replace("(", ".")):
        call(TriopsOps())


@pytest.mark.parametrize("name", ["relu", "mish", "sigmoid", "backprop_mish", "backprop_sigmoid"])
def test_in_place(name: str) -> None:
    results = []
    for ops in (TriopsOps(), t.NumpyOps()):
        args = [floats(5, 4, seed=seed) for seed in range(2 if name.startswith("backprop") else 1)]
        result = getattr(ops, name)(*args, inplace=True)
        results.append((result, [result is arg for arg in args]))
    assert results[0][1] == results[1][1]
    assert any(results[0][1])
    assert_same(results[0][0], results[1][0])


def test_adam_changes_what_thinc_changes() -> None:
    results = []
    for ops in (TriopsOps(), t.NumpyOps()):
        arrays = [floats(50, seed=1), floats(50, seed=2), floats(50, seed=3), abs(floats(50, seed=4))]
        returned = ops.adam(*arrays, 0.9, 0.999, 1e-8, 0.01)
        assert all(one is other for one, other in zip(returned, arrays, strict=True))
        results.append(tuple(arrays))
    assert_same(*results)
    assert not results[0][1].any()


def test_dropout_masks_are_the_same_bits() -> None:
    masks, drawn_next = [], []
    for ops in (TriopsOps(), t.NumpyOps()):
        np.random.seed(3)  # noqa: NPY002 - Thinc draws from it
        masks.append(ops.get_dropout_mask((41, 7), 0.3))
        drawn_next.append(np.random.random_sample())  # noqa: NPY002
    np.testing.assert_array_equal(*masks)
    assert drawn_next[0] == drawn_next[1]


# -- layers and the process


def network() -> Any:
    t.fix_random_seed(0)
    tables = (t.HashEmbed(8, 50, column=0, seed=1), t.HashEmbed(8, 20, column=1, seed=2, dropout=0.1))
    hidden = t.chain(t.Maxout(8, 16, 3, normalize=True, dropout=0.2), t.expand_window(1), t.Mish(8, 24))
    layers = [hidden, t.Relu(8, 8), t.Gelu(8, 8), t.Swish(8, 8), t.HardSwish(8, 8), t.Softmax(3, 8)]
    return t.chain(t.concatenate(*tables), *layers).initialize()


def train(model: Any, optimizer: Any) -> list[Any]:
    X = np.random.default_rng(4).integers(0, 99, (30, 2)).astype("uint64")
    truth = np.eye(3, dtype="float32")[X[:, 0] % 3]
    found = []
    np.random.seed(0)  # noqa: NPY002
    for _ in range(5):
        Y, backprop = model.begin_update(X)
        backprop((Y - truth) / len(X))
        model.finish_update(optimizer)
        found.append(Y)
    return [*found, model.predict(X)]


def adam_with_all(rate: float) -> Any:
    return t.Adam((rate * 0.9**i for i in range(99)), L2=0.1, grad_clip=0.3, use_averages=True)


def adam_with_L2(rate: float) -> Any:
    return t.Adam(rate, L2=0.1, L2_is_weight_decay=False)


@pytest.mark.parametrize(
    "optimizer", [t.Adam, adam_with_all, adam_with_L2, t.RAdam, lambda rate: t.SGD(rate, L2=0.1)]
)
def test_models_made_before_train_alike(optimizer: Any) -> None:
    expected = train(network(), optimizer(0.01))
    model = network()
    with triops.accelerate_thinc():
        assert {type(node.ops) for node in model.walk()} == {TriopsOps}
        found = train(model, optimizer(0.01))
    assert_same(tuple(found), tuple(expected))
    assert not np.array_equal(found[-1], expected[-1])  # the kernels were used
    assert {type(node.ops) for node in model.walk()} == {t.NumpyOps}


@pytest.mark.parametrize("make", [t.Adam, adam_with_all])
def test_an_optimizer_keeps_what_it_would_have_kept(make: Any) -> None:
    """Its moments, averages and counts, so that either goes on where the other has stopped."""
    found = []
    for before, after in ((False, False), (True, False), (False, True)):
        model, optimizer = network(), make(0.01)
        tied, spare = t.Linear(4, 4).initialize(), t.Linear(4, 4).initialize()
        spare.set_param("W", tied.get_param("W"))
        model = t.chain(model, t.Linear(4, 3).initialize(), tied, spare)
        for accelerated in (before, after):
            with triops.accelerate_thinc() if accelerated else nullcontext():
                for step in range(3):
                    for node in model.walk():
                        for n, name in enumerate(node.param_names):
                            node.set_grad(name, floats(*node.get_param(name).shape, seed=10 * step + n))
                    model.finish_update(optimizer)
                    optimizer.step_schedules()
                    assert not any(
                        node.get_grad(name).any() for node in model.walk() for name in node.param_names
                    )
        kept = [optimizer.mom1, optimizer.mom2, optimizer.averages or {}]
        arrays = [array.reshape(-1) for each in kept for array in each.values()]
        arrays += [node.get_param(name) for node in model.walk() for name in node.param_names]
        found.append((arrays, list(optimizer.nr_update.values())))
    for arrays, counts in found[1:]:
        assert counts == found[0][1]
        assert_same(tuple(arrays), tuple(found[0][0]))


def test_embeddings_of_other_dtypes_drop_the_columns_that_were_dropped() -> None:
    ids = np.arange(20, dtype="uint64")
    results = []
    for accelerated in (False, True):
        with triops.accelerate_thinc() if accelerated else nullcontext():
            model = t.HashEmbed(8, 50, seed=1, dropout=0.5).initialize()
            model.set_param("E", floats(50, 8))
            np.random.seed(0)  # noqa: NPY002
            Y, backprop = model.begin_update(ids)
            backprop(np.ones_like(Y))
            results.append((Y, model.get_grad("E")))
    assert_same(*results)


@pytest.mark.parametrize("pad", [0, 2])
def test_sequences_are_cut_where_thinc_cuts_them(pad: int) -> None:
    sequences = [floats(n, 3, seed=n) for n in (3, 0, 1)]
    for ops in (TriopsOps(), t.NumpyOps()):
        found = ops.unflatten(ops.flatten(sequences, pad=pad), np.array([3, 0, 1], "int32"), pad=pad)
        for one, other in zip(found, sequences, strict=True):
            np.testing.assert_array_equal(one, other)


def test_all_that_makes_ops_makes_triops_until_the_end() -> None:
    t.set_current_ops(t.NumpyOps())
    in_thread: list[Any] = []
    with triops.accelerate_thinc():
        assert type(t.get_current_ops()) is TriopsOps
        assert type(t.get_ops("cpu")) is TriopsOps
        assert t.registry.ops.get("NumpyOps") is TriopsOps
        assert isinstance(t.Relu(2, 2).ops, t.NumpyOps)
        thread = threading.Thread(target=lambda: in_thread.append(t.get_current_ops()))
        thread.start()
        thread.join()
        assert type(in_thread[0]) is TriopsOps
        with triops.accelerate_thinc():
            pass
        assert type(t.get_current_ops()) is TriopsOps, "an inner block ended what it had not begun"
    assert type(t.get_current_ops()) is t.NumpyOps
    assert type(in_thread[0]) is t.NumpyOps
    assert t.registry.ops.get("NumpyOps") is t.NumpyOps
    handle = triops.accelerate_thinc()
    handle.restore()
    assert type(t.get_ops("cpu")) is t.NumpyOps


def test_float64_models_stay_with_thinc() -> None:
    model = t.chain(t.Maxout(4, 3), t.LayerNorm(4)).initialize(floats(5, 3))
    for node in model.walk():
        node.ops = t.NumpyOps(use_blis=False)
        for name in node.param_names:
            node.set_param(name, node.get_param(name).astype("float64"))
    X = floats(5, 3, dtype="float64")
    expected = model.predict(X)
    with triops.accelerate_thinc():
        Y, backprop = model.begin_update(X)
        assert backprop(Y).dtype == "float64"
    np.testing.assert_array_equal(Y, expected)


@pytest.mark.slow
def test_thincs_own_tests_pass_on_the_accelerated_ops(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "accelerated.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "accelerated"]
    done = subprocess.run(
        [
            *command,
            "-p",
            "no:cacheprovider",
            "-q",
            "-k",
            UNCOLLECTED,
            "--pyargs",
            "thinc.tests.backends.test_ops",
        ],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout
