"""Models in threads and tasks."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.interpreter import run_python
from tests.models.samples import NI, N, classifier, floats, ops_or_skip, params_of, shaken
from triops import Model, Ops, compile_step, get_current_ops, to_numpy, use_ops
from triops.models import SGD, Adam, CategoricalCrossentropy, Relu, chain

LABELS = [0, 1, 2, 0, 1, 2]


def train(model: Model, steps: int = 5) -> list[Any]:
    optimizer, loss = Adam(0.05), CategoricalCrossentropy()
    for seed in range(steps):
        Yh, backprop = model.begin_update(floats(model.ops, N, NI, seed=seed), drop=0.2)
        backprop(loss.get_grad(Yh, LABELS), sgd=optimizer)
    return params_of(model)


def assert_same(some: list[Any], others: list[Any]) -> None:
    for a, b in zip(some, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_many_threads_predict_with_one_model(ops: Ops) -> None:
    model = shaken(classifier(drop=0.3).initialize())
    batches = [floats(ops, N, NI, seed=seed) for seed in range(8)]
    expected = [to_numpy(model.predict(X)) for X in batches]
    before = model.to_bytes()

    def work(number: int) -> None:
        for _ in range(5):
            for X, Y in zip(batches[number % 8 :], expected[number % 8 :], strict=True):
                np.testing.assert_array_equal(to_numpy(model.predict(X)), Y)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert model.to_bytes() == before


def test_many_threads_add_to_the_gradients_of_one_model(ops: Ops) -> None:
    model = shaken(classifier().initialize())
    ones = {node.id: {name: ops.xp.ones_like(node.get_param(name)) for name in node.param_names}
            for node in model.walk()}  # fmt: skip

    def add(times: int) -> None:
        for _ in range(times):
            for node in model.walk():
                for name, one in ones[node.id].items():
                    node.inc_grad(name, one)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, [50] * 16))
    for node in model.walk():
        for name in node.param_names:
            np.testing.assert_array_equal(to_numpy(node.get_grad(name)), 800)


def test_each_thread_trains_a_model_of_its_own(ops: Ops) -> None:
    models = [classifier().initialize(seed=seed) for seed in range(8)]
    expected = [train(model.copy()) for model in models]
    with ThreadPoolExecutor(8) as pool:
        for trained, alone in zip(pool.map(train, models), expected, strict=True):
            assert_same(trained, alone)


def test_many_threads_call_one_step(ops: Ops) -> None:
    alone, shared = classifier().initialize(seed=1), classifier().initialize(seed=1)
    X = floats(ops, N, NI)

    def train_on(step: Any, times: int) -> None:
        for _ in range(times):
            step(X, LABELS)

    train_on(compile_step(alone, CategoricalCrossentropy(), Adam(0.01)), 80)
    step = compile_step(shared, CategoricalCrossentropy(), Adam(0.01))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(train_on, step), [10] * 8))
    assert_same(params_of(shared), params_of(alone))


FORK = """
import os, signal, threading
import numpy as np
import triops
from triops.models import Adam, CategoricalCrossentropy, Softmax

X, labels = np.ones((2, 3), "float32"), [0, 1]
within, leave = threading.Event(), threading.Event()

class Waiting(CategoricalCrossentropy):
    def __call__(self, Yh, truths):
        within.set()
        leave.wait()
        return super().__call__(Yh, truths)

step = triops.compile_step(Softmax(2, 3).initialize(), Waiting(), Adam(0.01))
thread = threading.Thread(target=step, args=(X, labels))
thread.start()
within.wait()
child = os.fork()
leave.set()
if child == 0:
    signal.alarm(10)
    step(X, labels)
    os._exit(0)
thread.join()
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_goes_on_with_a_step_that_a_thread_was_in() -> None:
    assert run_python(FORK) == "0"


def test_a_thread_trains_while_others_predict_with_a_copy(ops: Ops) -> None:
    model = shaken(classifier().initialize())
    snapshot = model.copy()
    X = floats(ops, N, NI)
    expected = to_numpy(snapshot.predict(X))
    with ThreadPoolExecutor(4) as pool:
        training = pool.submit(train, model)
        for Y in pool.map(lambda _: to_numpy(snapshot.predict(X)), range(40)):
            np.testing.assert_array_equal(Y, expected)
        training.result()


def test_a_model_keeps_its_ops_in_other_threads(ops: Ops) -> None:
    model = classifier().initialize()
    with ThreadPoolExecutor(1) as pool:
        trained = pool.submit(train, model).result()
        assert pool.submit(lambda: model.copy().ops).result() is ops
        assert pool.submit(lambda: chain(model.layers[0], model.layers[1]).ops).result() is ops
    assert_same(trained, train(classifier().initialize()))


def test_a_block_chooses_for_its_own_thread_alone(ops: Ops) -> None:
    with ThreadPoolExecutor(1) as pool, use_ops(ops):
        outside = pool.submit(lambda: Relu(3, NI).ops).result()
        assert Relu(3, NI).ops is ops
    assert outside is ops_or_skip("numpy")


def test_models_made_in_many_threads_have_numbers_of_their_own(ops: Ops) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: [classifier().id for _ in range(20)], range(16)))
    numbers = [number for thread in made for number in thread]
    assert len(set(numbers)) == len(numbers)


def test_tasks_choose_each_for_itself(ops: Ops) -> None:
    async def task(name: str, seed: int) -> tuple[str, list[Any]]:
        with use_ops(ops_or_skip(name)):
            await asyncio.sleep(0)
            model = classifier().initialize(seed=seed)
            await asyncio.sleep(0)
            assert get_current_ops().name == name
            Yh, backprop = model.begin_update(floats(model.ops, N, NI))
            await asyncio.sleep(0)
            backprop(CategoricalCrossentropy().get_grad(Yh, LABELS), sgd=SGD(0.5))
            return model.ops.name, params_of(model)

    async def main() -> list[tuple[str, list[Any]]]:
        return await asyncio.gather(*(task(name, seed) for seed in range(3) for name in ("numpy", ops.name)))

    results = asyncio.run(main())
    assert [name for name, _ in results] == ["numpy", ops.name] * 3
    for (_, numpy), (_, other) in zip(results[::2], results[1::2], strict=True):
        for a, b in zip(numpy, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_thread_of_a_task_keeps_its_choice(ops: Ops) -> None:
    async def main() -> Ops:
        with use_ops(ops):
            return await asyncio.to_thread(lambda: Relu(3, NI).ops)

    assert asyncio.run(main()) is ops
