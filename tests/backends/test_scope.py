"""How far a choice of ops reaches: `set_current_ops` everywhere, `use_ops` its block alone."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from triops import Ops, get_current_ops, get_ops, set_current_ops, use_ops
from triops.backends.numpy import NumpyBackend
from triops.errors import BackendUnavailable

T = TypeVar("T")


@pytest.fixture(name="other")
def other_ops() -> Ops:
    """Ops that are not the default ones, wherever NumPy is all there is."""
    return Ops(NumpyBackend(NumpyBackend.devices()[0]))


def _in_thread(function: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=10)


def test_numpy_is_the_default() -> None:
    assert get_current_ops() is get_ops("numpy")


def test_the_choice_takes_names_and_ops(other: Ops) -> None:
    set_current_ops(other)
    assert get_current_ops() is other
    set_current_ops("cpu")
    assert get_current_ops() is get_ops("numpy")


def test_a_wrong_choice_changes_nothing(other: Ops) -> None:
    set_current_ops(other)
    with pytest.raises(BackendUnavailable, match="unknown backend 'nunpy'"):
        set_current_ops("nunpy")
    assert get_current_ops() is other


def test_the_choice_is_seen_in_a_later_thread(other: Ops) -> None:
    set_current_ops(other)
    assert _in_thread(get_current_ops) is other


def test_the_choice_is_seen_in_a_thread_that_runs_already(other: Ops) -> None:
    chosen, seen = threading.Event(), []

    def watch() -> None:
        assert chosen.wait(10)
        seen.append(get_current_ops())

    thread = threading.Thread(target=watch)
    thread.start()
    set_current_ops(other)
    chosen.set()
    thread.join(10)
    assert seen == [other]


def test_a_choice_in_a_thread_is_seen_here(other: Ops) -> None:
    _in_thread(lambda: set_current_ops(other))
    assert get_current_ops() is other


def test_the_choice_is_seen_in_other_tasks(other: Ops) -> None:
    async def choose() -> None:
        set_current_ops(other)

    async def both() -> Ops:
        await asyncio.create_task(choose())
        return await asyncio.create_task(_current())

    async def _current() -> Ops:
        return get_current_ops()

    assert asyncio.run(both()) is other


def test_the_choice_is_seen_in_the_next_notebook_cell(other: Ops) -> None:
    """A notebook may run each cell in a context of its own, which a context variable would not survive."""
    names = {"triops_set": set_current_ops, "triops_get": get_current_ops, "other": other}
    for cell in ("triops_set(other)", "seen = triops_get()"):
        contextvars.Context().run(exec, cell, names)
    assert names["seen"] is other


def test_a_block_ends(other: Ops) -> None:
    with use_ops(other) as ops:
        assert ops is other
        assert get_current_ops() is other
    assert get_current_ops() is get_ops("numpy")


def test_a_block_by_name_and_device() -> None:
    with use_ops("numpy", device="cpu:0") as ops:
        assert ops is get_ops("numpy")


def test_a_block_ends_after_an_exception(other: Ops) -> None:
    with pytest.raises(ZeroDivisionError), use_ops(other):
        raise ZeroDivisionError
    assert get_current_ops() is get_ops("numpy")


def test_a_block_that_cannot_begin(other: Ops) -> None:
    set_current_ops(other)
    with pytest.raises(BackendUnavailable), use_ops("nunpy"):
        raise AssertionError("the block ran")
    assert get_current_ops() is other


def test_blocks_nest(other: Ops) -> None:
    with use_ops(other):
        with use_ops("numpy"):
            assert get_current_ops() is get_ops("numpy")
        assert get_current_ops() is other
    assert get_current_ops() is get_ops("numpy")


def test_a_block_goes_before_the_choice(other: Ops) -> None:
    with use_ops("numpy"):
        set_current_ops(other)
        assert get_current_ops() is get_ops("numpy")
    assert get_current_ops() is other


def test_a_block_is_not_seen_in_threads(other: Ops) -> None:
    with use_ops(other):
        assert _in_thread(get_current_ops) is get_ops("numpy")


def test_a_block_of_a_thread_is_not_seen_here(other: Ops) -> None:
    inside, seen = threading.Event(), threading.Event()

    def block() -> None:
        with use_ops(other):
            inside.set()
            assert seen.wait(10)

    thread = threading.Thread(target=block)
    thread.start()
    assert inside.wait(10)
    assert get_current_ops() is get_ops("numpy")
    seen.set()
    thread.join(10)


def test_blocks_of_tasks_do_not_meet(other: Ops) -> None:
    async def block(ops: Ops, entered: asyncio.Event, both: asyncio.Event) -> Ops:
        with use_ops(ops):
            entered.set()
            await both.wait()
            return get_current_ops()

    async def interleave() -> list[Ops]:
        first, second, both = asyncio.Event(), asyncio.Event(), asyncio.Event()
        tasks = [
            asyncio.create_task(block(other, first, both)),
            asyncio.create_task(block(get_ops("numpy"), second, both)),
        ]
        await first.wait()
        await second.wait()
        both.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(interleave()) == [other, get_ops("numpy")]
    assert get_current_ops() is get_ops("numpy")
