"""Where the seeds of initial draws and dropout masks come from."""

from __future__ import annotations

from hashlib import blake2b

from triops.errors import ArgumentError

__all__ = ["default_seed", "derive_seed", "fix_random_seed"]

_default = 0


def fix_random_seed(seed: int = 0) -> None:
    """Choose the seed that `initialize` starts from where it is given none."""
    global _default
    if seed < 0:
        raise ArgumentError(f"fix_random_seed: seed must be 0 or more, got {seed}")
    _default = seed


def default_seed() -> int:
    """The seed of `fix_random_seed`, 0 at the start."""
    return _default


def derive_seed(seed: int, *path: str | int) -> int:
    """A seed of its own for a place in a model: the same for the same seed and path, in every process."""
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
