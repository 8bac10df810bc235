"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from uuid import UUID

# A call of the system for each id costs more than the id.
_DRAWN_AT_ONCE = 64
_BYTES = 10


def _draw() -> Iterator[int]:
    while True:
        drawn = os.urandom(_BYTES * _DRAWN_AT_ONCE)
        for at in range(0, len(drawn), _BYTES):
            yield int.from_bytes(drawn[at : at + _BYTES], "big")


_random = _draw()


def uuid7() -> UUID:
    """A version 7 UUID (RFC 9562 section 5.7): 48 bits of milliseconds, 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | next(_random)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
