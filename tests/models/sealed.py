"""A saved model opened, and closed again, by what is documented of its format."""

from __future__ import annotations

import zlib
from typing import Any

import msgpack

__all__ = ["opened", "sealed"]


def opened(data: bytes) -> Any:
    """What is saved, without the checksum."""
    return msgpack.unpackb(data[:-4], strict_map_key=False)


def sealed(saved: Any) -> bytes:
    """As `to_bytes` closes it."""
    packed: bytes = msgpack.packb(saved)
    return packed + zlib.crc32(packed).to_bytes(4, "little")
