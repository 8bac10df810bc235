"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import os
import time
from uuid import UUID

# A call of the system for each id costs more than the id.
_DRAWN_AT_ONCE = 64
_BYTES = 10


# Taken from by single operations of a list, since ids are made in threads as well.
_drawn: list[int] = []
# A child process that went on with our numbers would make our ids.
os.register_at_fork(after_in_child=_drawn.clear)


def _chance() -> int:
    """80 random bits."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            drawn = os.urandom(_BYTES * _DRAWN_AT_ONCE)
            _drawn.extend(
                int.from_bytes(drawn[at : at + _BYTES], "big")
                for at in range(0, len(drawn), _BYTES)
            )


def uuid7() -> UUID:
    """A version 7 UUID (RFC 9562 section 5.7): 48 bits of milliseconds, 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | _chance()
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
