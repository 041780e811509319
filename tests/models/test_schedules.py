"""What an optimizer takes for a number that changes."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
from typing import Any

import numpy as np
import pytest

from tests.models.samples import ops_or_skip
from triops import Ops
from triops.errors import ArgumentError
from triops.models import SGD, Adam, Optimizer


def rates(optimizer: Optimizer, ops: Ops, steps: int = 4, key: Any = (0, "W")) -> list[float]:
    """The step sizes that an optimizer without anything else takes, read from the weights."""
    W, seen = ops.alloc((2,), dtype="float64"), []
    for _ in range(steps):
        new, _ = optimizer(key, W, ops.alloc((2,), dtype="float64") + 1)
        seen.append(round(float((W - new)[0]), 10))
        W = new
    return seen


def plain(learn_rate: Any) -> SGD:
    return SGD(learn_rate, grad_clip=0.0, use_averages=False)


@pytest.mark.parametrize(
    "schedule",
    [
        [0.5, 0.25, 0.125],
        (0.5, 0.25, 0.125),
        np.array([0.5, 0.25, 0.125]),
        iter([0.5, 0.25, 0.125]),
        (0.5**step for step in range(1, 4)),
        lambda step: 0.5 ** min(step + 1, 3),
    ],
    ids=["list", "tuple", "array", "iterator", "generator", "callable"],
)
def test_series_and_functions(schedule: Any) -> None:
    assert rates(plain(schedule), ops_or_skip("numpy")) == [0.5, 0.25, 0.125, 0.125]


def halved(step: int) -> float:
    return 0.5 ** (step + 1)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize(
    "make", [float, list, iter, lambda rates: halved], ids=["number", "list", "iterator", "callable"]
)
def test_a_copy_goes_on_from_there(make: Any, again: Any) -> None:
    ops = ops_or_skip("numpy")
    optimizer = plain(0.5 if make is float else make([0.5, 0.25, 0.125]))
    rates(optimizer, ops, 1)
    twin = again(optimizer)
    assert rates(twin, ops, 2) == rates(optimizer, ops, 2)


def test_a_generator_cannot_be_copied() -> None:
    optimizer = plain(rate for rate in (0.5, 0.25))
    with pytest.raises(
        ArgumentError, match="learn_rate: the schedule is a generator, which can be neither copied"
    ):
        pickle.dumps(optimizer)


@pytest.mark.parametrize("number", [0.25, np.float32(0.25), np.array(0.25), np.float64(0.25)])
def test_numbers(number: Any, ops: Ops) -> None:
    optimizer = plain(number)
    assert optimizer.learn_rate == 0.25
    assert rates(optimizer, ops, 2) == [0.25, 0.25]
    optimizer.learn_rate = 1
    assert rates(optimizer, ops, 1) == [1.0]


def test_a_scalar_of_the_backend_is_a_number(ops: Ops) -> None:
    assert plain(ops.asarray(0.25)).learn_rate == 0.25


def test_a_schedule_moves_once_an_update_and_not_once_a_parameter(ops: Ops) -> None:
    optimizer = plain([0.5, 0.25, 0.125])
    W = ops.alloc((2,))
    for step in range(3):
        sizes = [float((W - optimizer((0, name), W, W + 1)[0])[0]) for name in ("W", "b")]
        assert sizes == [0.5 ** (step + 1)] * 2
    assert optimizer.updates == 3
    assert optimizer.learn_rate == 0.125


def test_reading_a_setting_moves_nothing() -> None:
    optimizer = plain(itertools.count(1))
    assert [optimizer.learn_rate for _ in range(3)] == [1.0, 1.0, 1.0]
    optimizer.step_schedules()
    assert optimizer.learn_rate == 1.0


def test_a_parameter_that_comes_later_follows_the_clock_of_the_others(ops: Ops) -> None:
    optimizer = plain([0.5, 0.25, 0.125])
    rates(optimizer, ops, 2, key=(0, "W"))
    assert rates(optimizer, ops, 2, key=(1, "W")) == [0.25, 0.25]
    assert rates(optimizer, ops, 1, key=(0, "W")) == [0.125]


def test_every_number_may_be_a_schedule(ops: Ops) -> None:
    optimizer = Adam(
        [0.1, 0.2], beta1=[0.9, 0.8], beta2=[0.99, 0.9], eps=[1e-8, 1e-6], L2=[0, 0.1], grad_clip=[0, 1]
    )
    rates(optimizer, ops, 2)
    settings = [getattr(optimizer, name) for name in ("learn_rate", "beta1", "beta2", "eps", "L2", "grad_clip")]
    assert settings == [0.2, 0.8, 0.9, 1e-6, 0.1, 1.0]
    momentum = SGD(0.1, momentum=[0.5, 0.9])
    rates(momentum, ops, 2)
    assert momentum.momentum == 0.9


def test_thincs_schedules() -> None:
    thinc = pytest.importorskip("thinc.schedules")
    ops = ops_or_skip("numpy")
    assert rates(plain(thinc.constant(0.25)), ops, 2) == [0.25, 0.25]
    assert rates(plain(thinc.warmup_linear(1.0, 2, 4)), ops, 5) == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert rates(plain(thinc.constant_then(0.5, 2, thinc.constant(0.25))), ops, 3) == [0.5, 0.5, 0.25]
    for make in (
        lambda: thinc.decaying(1.0, 0.1),
        lambda: thinc.compounding(1.0, 4.0, 1.5),
        lambda: thinc.cyclic_triangular(0.1, 0.5, 4),
    ):
        assert rates(plain(make()), ops) == pytest.approx(list(itertools.islice(make(), 4)))


def test_optax_schedules(ops: Ops) -> None:
    optax = pytest.importorskip("optax")
    pytest.importorskip("jax")
    for schedule in (
        optax.constant_schedule(0.25),
        optax.linear_schedule(1.0, 0.0, 4),
        optax.cosine_decay_schedule(1.0, 4),
        optax.warmup_cosine_decay_schedule(0.0, 1.0, 2, 4),
    ):
        expected = [float(schedule(step)) for step in range(4)]
        assert rates(plain(schedule), ops) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("wrong", ["0.001", b"0.1", None, {"rate": 0.1}, object(), [[0.1]], [None], ["fast"]])
def test_what_is_no_schedule_is_named(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="learn_rate must be a number"):
        plain(wrong).learn_rate  # noqa: B018


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.1])
def test_numbers_out_of_range_are_named(wrong: float) -> None:
    for name in ("learn_rate", "L2", "grad_clip", "beta1", "beta2", "eps"):
        with pytest.raises(ArgumentError, match=f"{name} must be a finite number from 0, got {wrong}"):
            Adam(**{name: wrong})
    with pytest.raises(ArgumentError, match="momentum must be"):
        SGD(0.1, momentum=wrong)
    later = plain([0.5, wrong])
    assert later.learn_rate == 0.5
    with pytest.raises(ArgumentError, match="learn_rate must be a finite number from 0"):
        rates(later, ops_or_skip("numpy"), 2)
    with pytest.raises(ArgumentError, match="learn_rate must be"):
        rates(plain(lambda step: wrong), ops_or_skip("numpy"), 1)


@pytest.mark.parametrize("name", ["beta1", "beta2"])
def test_a_moment_that_never_forgets_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=rf"{name} must be below 1, got 1\.0"):
        Adam(**{name: 1})


def test_an_empty_series_is_named() -> None:
    with pytest.raises(ArgumentError, match="learn_rate: the schedule is empty"):
        plain([]).learn_rate  # noqa: B018


def test_an_exception_of_a_schedule_is_its_own(ops: Ops) -> None:
    def broken(step: int) -> float:
        raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        rates(plain(broken), ops, 1)


def test_threads_see_one_series() -> None:
    optimizer = plain(itertools.count(1))
    ops = ops_or_skip("numpy")
    seen: list[list[float]] = []

    def work(number: int) -> None:
        seen.append(rates(optimizer, ops, 50, key=(number, "W")))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert all(rate == int(rate) and 1 <= rate <= 50 for series in seen for rate in series)
    assert optimizer.learn_rate == 50
