"""Programs of compiled models on disk, in JAX's own persistent cache, so that the next process reads what this
one has compiled. A folder that is set up for JAX serves as it is; other programs than triops' are left alone.

The folder is kept small here, and not by JAX's own setting for that: with it JAX keeps nothing more once a single
program lacks the file of its last use, as those of earlier have none, and those of a process that died."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from triops.errors import ArgumentError

__all__ = ["kept_on_disk", "largest", "program_folder", "prune"]

_FOLDER = "jax_compilation_cache_dir"
_LEAST_SECONDS = "jax_persistent_cache_min_compile_time_secs"
_WORTH_KEEPING = 0.1  # seconds of compilation: JAX keeps what takes a second
_VARIABLE = "TRIOPS_JAX_CACHE"
_LARGEST = 512  # MiB; a train step takes some 0.2


class _Users:
    """Who compiles now, and what JAX's least time of a program on disk was before."""

    count = 0
    seconds = 0.0
    lock = threading.Lock()


def largest() -> int:
    """How many bytes of programs are kept: `TRIOPS_JAX_CACHE` MiB."""
    value = os.environ.get(_VARIABLE, "").strip() or str(_LARGEST)
    if not value.isdecimal():
        raise ArgumentError(
            f"{_VARIABLE} must be a whole number of MiB, got {value!r}: set it to 0 to keep no programs, or "
            f"unset it for {_LARGEST}"
        )
    return int(value) * 2**20


def program_folder() -> Path | None:
    """The folder in the user's cache; None where `TRIOPS_JAX_CACHE=0` or JAX forbids it, JAX has another, or none
    can be made."""
    if not largest() or not jax.config.jax_enable_compilation_cache:
        return None
    if getattr(jax.config, _FOLDER):
        return None
    try:
        folder = _user_cache() / "triops" / "jax"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder


@contextmanager
def kept_on_disk() -> Iterator[None]:
    """What XLA compiles in this block comes from the folder, or goes to it."""
    users = _Users
    with users.lock:
        folder = program_folder() if users.count == 0 else None
        if folder is not None:
            users.seconds = getattr(jax.config, _LEAST_SECONDS)
            # Of a folder that is only to be read nothing is said.
            least = min(_WORTH_KEEPING, users.seconds) if os.access(folder, os.W_OK) else math.inf
            _set(str(folder), least)
        used = folder is not None or users.count > 0
        users.count += used
    try:
        yield
    finally:
        with users.lock:
            users.count -= used
            if used and users.count == 0:
                kept = Path(getattr(jax.config, _FOLDER))
                _set(None, users.seconds)
                prune(kept, largest())


def prune(folder: Path, most: int) -> None:
    """Delete the programs that were not used for longest, as far as the file system knows, until the others have
    so many bytes at most. Other processes may read, write and delete there."""
    found = []
    for file in folder.glob("*-cache"):
        with suppress(OSError):
            status = file.stat()
            found.append((max(status.st_atime, status.st_mtime), status.st_size, file))
    size = sum(each for _, each, _ in found)
    for _, each, file in sorted(found):
        if size <= most:
            return
        with suppress(OSError):
            file.unlink(missing_ok=True)
            size -= each


def _set(folder: str | None, seconds: float) -> None:
    jax.config.update(_FOLDER, folder)
    jax.config.update(_LEAST_SECONDS, seconds)
    # JAX looks at the folder once, and would use it for all programs after that.
    compilation_cache.reset_cache()


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
