"""Children of a process that has computed on several threads, and threads within threads. Every test trains a
real model in a real process, with arrays that are large enough for threads."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tests.interpreter import run_python

TRAIN = """
import sys
import numpy as np
import triops
from triops.models import Adam, CategoricalCrossentropy, LayerNorm, Maxout, Mish, Softmax

X = np.random.default_rng(0).standard_normal((512, 96)).astype("float32")
labels = np.arange(512) % 10

def made():
    model = Mish(128, 96) >> LayerNorm(128) >> Maxout(96, 128, 3) >> Softmax(10, 96)
    return model.initialize(seed=1)

def train(model, steps=3):
    optimizer, loss = Adam(0.01), CategoricalCrossentropy()
    for _ in range(steps):
        Yh, backprop = model.begin_update(X, drop=0.1)
        backprop(loss.get_grad(Yh, labels), sgd=optimizer)
    return model.to_bytes()

def child(connection):
    connection.send_bytes(train(made()))
    connection.close()
"""
START = """
import multiprocessing
from training import child, made, train

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    before = train(made())
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    children = [context.Process(target=child, args=(sender,)) for _, sender in pipes]
    for process in children:
        process.start()
    during = train(made())
    results = [receiver.recv_bytes() for receiver, _ in pipes]
    for process in children:
        process.join(60)
    print([process.exitcode for process in children], all(r == before for r in [during, *results, train(made())]))
"""
THREADS = """
from concurrent.futures import ThreadPoolExecutor
from training import X, made, np, train

alone = train(made())
with ThreadPoolExecutor(16) as pool:
    many = list(pool.map(lambda _: train(made()), range(16)))
    model = made()
    expected = model.predict(X)
    predicted = list(pool.map(lambda _: model.predict(X), range(64)))
print(all(one == alone for one in many), all(np.array_equal(Y, expected) for Y in predicted))
"""
TASKS = """
import asyncio
from training import X, made, np, train

async def main():
    alone = await asyncio.to_thread(train, made())
    model = made()
    expected = model.predict(X)
    trained = asyncio.gather(*(asyncio.to_thread(train, made()) for _ in range(6)))
    predicted = asyncio.gather(*(asyncio.to_thread(model.predict, X) for _ in range(24)))
    print(all(one == alone for one in await trained))
    print(all(np.array_equal(Y, expected) for Y in await predicted))

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "training.py").write_text(TRAIN)
    return tmp_path


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_train_beside_their_parent(folder: Path, method: str) -> None:
    (folder / "start.py").write_text(START.format(method=method))
    said = run_python(
        f"import runpy; runpy.run_path({str(folder / 'start.py')!r}, run_name='__main__')", path=folder
    )
    assert said == "[0, 0] True"


def test_sixteen_threads_train_and_predict_at_once(folder: Path) -> None:
    assert run_python(THREADS, path=folder) == "True True"


def test_tasks_train_and_predict_in_threads(folder: Path) -> None:
    assert run_python(TASKS, path=folder).split() == ["True", "True"]


def test_the_first_calls_come_from_many_threads(tmp_path: Path) -> None:
    """Kernels are built, compiled and put on disk while others wait for them."""
    said = run_python(
        """
from concurrent.futures import ThreadPoolExecutor
import sys
import numpy as np, triops
sys.setswitchinterval(1e-5)
ops = triops.get_ops("numpy")
X = np.linspace(-3, 3, 100_000, dtype="float32")
with ThreadPoolExecutor(16) as pool:
    first, *others = pool.map(ops.relu, [X] * 64)
print(all(np.array_equal(first, other) for other in others), np.array_equal(first, np.maximum(X, 0)))
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert said == "True True"
