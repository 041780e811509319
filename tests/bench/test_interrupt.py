"""Ctrl-C that Python loses."""

from __future__ import annotations

import signal

import pytest

from triops.bench.interrupt import Interrupt


class _Collected:
    """Ctrl-C comes while it is collected, where an exception is only printed."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_lost_ctrl_c_is_raised_at_the_next_check() -> None:
    with Interrupt() as interrupt:
        interrupt.check()
        collected = _Collected()
        del collected
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_raised_at_once_as_ever() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupt():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
