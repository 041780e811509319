"""The threads that kernels run on.

A step of training is some hundred kernels and matrix products of 10 to 1000 microseconds each. Threads that
sleep in between wake too late for the next one, or on the core of the thread that waits for them; and two pools
of them, one of a BLAS and one of the kernels, take the cores from each other. So there is one pool: its threads
stay awake for a moment after their work, and sleep where nothing more comes.

One caller has the pool at a time. A thread that finds it taken does its own work alone, which is as fast where
the cores are busy anyway, and is why any number of threads may compute at once. A forked child begins a new pool.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from collections.abc import Callable

import numpy as np

from triops.backends.numpy.compiled.atomic import add, call, load, pause, store, swap
from triops.backends.numpy.compiled.jit import called, compiled, source_of

__all__ = ["POOL", "Pool", "run_region"]

# Places in the memory that all share, in bytes; what several threads write to has a cache line of its own.
_OPEN, _TAKEN, _NEXT, _INSIDE, _WORK, _FIXED = (64 * i for i in range(6))
_FUNCTION, _DATA, _SLICES, _HELPERS, _COUNT = (_WORK + 8 * i for i in range(5))
_STOP, _YIELD = _FIXED, _FIXED + 8
_WORDS = 64
_PATIENCE = 40_000  # pauses until a thread without work goes to sleep: one or two milliseconds
_A_MOMENT = 1_000  # pauses until a thread that waits offers its core to others


@called
def take_slices(shared: int) -> None:
    function, data, slices = load(shared + _FUNCTION), load(shared + _DATA), load(shared + _SLICES)
    part = add(shared + _NEXT, 1)
    while part < slices:
        call(function, data, part)
        part = add(shared + _NEXT, 1)


@called
def wait_a_little(shared: int, waited: int) -> None:
    pause()
    if waited % _A_MOMENT == 0 and load(shared + _YIELD) != 0:
        call(load(shared + _YIELD), 0, 0)


def region(shared: int, helpers: int, function: int, data: int, slices: int) -> None:
    """Call `function(data, part)` for every part, helped by so many threads of the pool, if it is free."""
    if helpers <= 0 or slices <= 1 or swap(shared + _TAKEN, 1) != 0:
        for part in range(slices):
            call(function, data, part)
        return
    store(shared + _FUNCTION, function)
    store(shared + _DATA, data)
    store(shared + _SLICES, slices)
    store(shared + _HELPERS, helpers)
    store(shared + _NEXT, 0)
    store(shared + _OPEN, add(shared + _COUNT, 1) + 1)
    take_slices(shared)
    store(shared + _OPEN, 0)
    waited = 0
    while load(shared + _INSIDE) != 0:
        waited += 1
        wait_a_little(shared, waited)
    store(shared + _TAKEN, 0)


run_region = compiled(*source_of(region), globals(), no_cpython_wrapper=True)


def serve(shared: int, index: int) -> None:
    """Help with one region after the other, until none has come for a while."""
    seen, idle = 0, 0
    while idle < _PATIENCE and load(shared + _STOP) == 0:
        region = load(shared + _OPEN)
        if region == 0 or region == seen:
            idle += 1
            wait_a_little(shared, idle)
            continue
        seen = region
        # Inside before the second look: whoever closes the region waits for those who are.
        add(shared + _INSIDE, 1)
        if load(shared + _OPEN) == region and index < load(shared + _HELPERS):
            take_slices(shared)
            idle = 0
        add(shared + _INSIDE, -1)


class Pool:
    """Threads that start when they are first wanted.

    address: of the memory that they share, as a region's first argument.
    """

    def __init__(self) -> None:
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)
        atexit.register(self._stop)

    def _begin(self) -> None:
        words = np.zeros(_WORDS + 8, np.int64)
        # Threads read it for as long as the process lives.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(words))
        self.address: int = -(-words.ctypes.data // 64) * 64
        self._words = words
        self._threads: list[threading.Thread] = []
        self._asleep: list[threading.Event] = []
        self._starting = threading.Lock()
        self._stopped = False
        yields = getattr(ctypes.CDLL(None), "sched_yield", None) if os.name == "posix" else None
        if yields is not None:
            self._set(_YIELD, ctypes.cast(yields, ctypes.c_void_p).value or 0)

    def _set(self, place: int, value: int) -> None:
        self._words[(self.address - self._words.ctypes.data + place) // 8] = value

    def wake(self, helpers: int) -> int:
        """Have so many threads ready, or as many as there may be; returns how many."""
        if len(self._threads) < helpers:
            self._start(helpers)
        self._ring()
        return min(helpers, len(self._threads))

    def _ring(self) -> None:
        while self._asleep:
            try:
                self._asleep.pop().set()
            except IndexError:  # another thread has just woken the last one
                return

    def _start(self, wanted: int) -> None:
        serving = compiled(*source_of(serve), globals())
        with self._starting:
            for index in range(len(self._threads), wanted):
                thread = threading.Thread(
                    target=self._work, args=(serving, index), name=f"triops-{index + 1}", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # the process may have no more threads, or is about to end
                    return
                self._threads.append(thread)

    def _work(self, serving: Callable[[int, int], None], index: int) -> None:
        bell = threading.Event()
        while not self._stopped:
            serving(self.address, index)
            bell.clear()
            self._asleep.append(bell)
            bell.wait()

    def _stop(self) -> None:
        """Before the interpreter ends, and with it the memory that holds compiled code."""
        self._stopped = True
        self._set(_STOP, 1)
        for thread in self._threads:
            self._ring()
            thread.join(0.1)


POOL = Pool()
