"""Ctrl-C, which Python forgets where it comes while an object is being collected, or a callback of C runs."""

from __future__ import annotations

import signal
from threading import current_thread, main_thread
from types import FrameType, TracebackType

__all__ = ["Interrupt"]


class Interrupt:
    """In its block Ctrl-C raises KeyboardInterrupt as ever, and `check` raises it where that was lost."""

    def __init__(self) -> None:
        self._came = False

    def __enter__(self) -> Interrupt:
        # Elsewhere Python sets no handlers, and neither does a program that takes the signal itself want another.
        handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._ours = handled and current_thread() is main_thread()
        if self._ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt where it came."""
        if self._came:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        signal.default_int_handler(number, frame)
