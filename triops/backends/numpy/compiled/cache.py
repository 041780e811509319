"""Compiled kernels on disk. A cache only ever saves time: where it is damaged, full or read-only, kernels are
compiled as if it were not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numba.core import caching

from triops.backends.numpy.compiled.links import links_of, restore

__all__ = ["KernelCache", "NoCache", "cache_folder", "cache_of", "is_cached"]


class _ReadOnly:
    """A folder that is there to be read, found by its files."""

    @classmethod
    def from_function(cls, function: Any, file: str) -> Any:
        try:
            found = cls(function, file)  # type: ignore[call-arg]
            holds_kernels = any(Path(found.get_cache_path()).glob("*.nbi"))  # type: ignore[attr-defined]
        except OSError:
            return None
        return found if holds_kernels else None


class _Named(_ReadOnly, caching.UserProvidedCacheLocator):  # type: ignore[misc]
    @classmethod
    def from_function(cls, function: Any, file: str) -> Any:
        return super().from_function(function, file) if caching.config.CACHE_DIR else None


class _InTree(_ReadOnly, caching.InTreeCacheLocator):  # type: ignore[misc]
    pass


class _Places(caching.CompileResultCacheImpl):  # type: ignore[misc]
    # Numba itself passes by a folder that it cannot write to, though others filled it.
    _locator_classes = [  # noqa: RUF012 - Numba's own attribute
        caching.UserProvidedCacheLocator,
        _Named,
        caching.InTreeCacheLocator,
        caching.UserWideCacheLocator,
        _InTree,
        caching.ZipCacheLocator,
    ]

    def reduce(self, compiled: Any) -> Any:
        return links_of(compiled.library), super().reduce(compiled)

    def rebuild(self, context: Any, data: Any) -> Any:
        links, own = data
        restore(links)
        return super().rebuild(context, own)


class KernelCache(caching.FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function, which no state of the disk can stop."""

    _impl_class = _Places

    def load_overload(self, signature: Any, target: Any) -> Any:
        try:
            return super().load_overload(signature, target)
        except Exception:  # what a damaged file unpickles to is anyone's guess
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        try:
            super().save_overload(signature, compiled)
        except OSError:
            _give_up(self)
        except Exception:  # the index is damaged: begin a new one
            try:
                self.flush()
                super().save_overload(signature, compiled)
            except OSError:
                _give_up(self)


_given_up: set[str] = set()


def _give_up(cache: KernelCache) -> None:
    """Compile without a cache from now on."""
    _given_up.add(str(cache.cache_path))
    cache.disable()


class NoCache(caching.NullCache):  # type: ignore[misc]
    """There is no folder that a cache could be in: compile in every process."""


def is_cached(dispatcher: Any) -> bool:
    """Whether a compiled function is on disk, for this CPU or another: its name holds a digest of the sources."""
    cache = dispatcher._cache
    return isinstance(cache, KernelCache) and Path(cache._cache_file._index_path).exists()


def cache_of(function: Any) -> KernelCache | NoCache:
    """The cache of a function, in the folder that NUMBA_CACHE_DIR names, beside its file, or in the user's."""
    try:
        return KernelCache(function)
    except (RuntimeError, OSError):
        return NoCache()


def cache_folder() -> tuple[str | None, bool]:
    """The folder that keeps compiled kernels, if any, and whether it can be written to."""
    from triops.backends.numpy.compiled import jit

    try:
        locator = _Places(jit.inlined).locator
    except (RuntimeError, OSError):
        return None, False
    folder = str(locator.get_cache_path())
    return folder, folder not in _given_up and not isinstance(locator, _ReadOnly)
