"""Freed memory that stays with the process, on Linux with glibc.

glibc gives large blocks back to the system when they are freed, and a fresh block costs a page fault for every
few kilobytes when it is first written to, which can take longer than the op that writes it. With these settings
blocks come from the heap, and the heap keeps what its busiest moment needed."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # numbers in malloc.h
_LARGEST = 2**30  # bytes: larger blocks, as of a whole data set, still go back
# What a program or a person has set is left as it is.
_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


@cache
def keep_freed_memory() -> bool:
    """Do so, for the rest of the process; `TRIOPS_MALLOC=0` in the environment forbids it. Returns whether it
    was done."""
    if os.environ.get("TRIOPS_MALLOC", "").strip() == "0" or any(os.environ.get(name) for name in _SETTINGS):
        return False
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    # An older glibc refuses so high a threshold.
    kept = library.mallopt(_MMAP_THRESHOLD, _LARGEST) or library.mallopt(_MMAP_MAX, 0)
    return bool(kept and library.mallopt(_TRIM_THRESHOLD, _LARGEST))
