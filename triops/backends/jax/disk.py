"""Programs of compiled models on disk, in JAX's own persistent cache, so that the next process reads what this
one has compiled. A folder that is set up for JAX serves as it is; other programs than triops' are left alone."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

__all__ = ["kept_on_disk", "program_folder"]

_FOLDER = "jax_compilation_cache_dir"
_LEAST_SECONDS = "jax_persistent_cache_min_compile_time_secs"
_WORTH_KEEPING = 0.1  # seconds of compilation: JAX keeps what takes a second


class _Users:
    """Who compiles now, and what JAX's least time of a program on disk was before."""

    count = 0
    seconds = 0.0
    lock = threading.Lock()


def program_folder() -> Path | None:
    """The folder in the user's cache; None where `TRIOPS_JAX_CACHE=0` or JAX forbids it, JAX has another, or none
    can be made."""
    if os.environ.get("TRIOPS_JAX_CACHE", "").strip() == "0" or not jax.config.jax_enable_compilation_cache:
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
                _set(None, users.seconds)


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
