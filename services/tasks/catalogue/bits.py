"""Sets of places as whole numbers: place n is in the set when bit n is one.

A hundred thousand places take 12.5 kB, and what two sets have in common is found in microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SOME = re.compile(rb"[^\0]", re.DOTALL)


def packed(flags: bytes) -> int:
    """The places whose flag is the character 1; all others are 0."""
    return int(flags[::-1] or b"0", 2)


def gathered(places: Iterable[int], size: int) -> int:
    """These places, of `size` that there are."""
    flags = bytearray(b"0") * size
    for place in places:
        flags[place] = 49
    return packed(bytes(flags))


def places(bits: int) -> list[int]:
    """What is in a set, in ascending order."""
    text = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    return [
        8 * match.start() + bit
        for match in _SOME.finditer(text)
        for bit in range(8)
        if text[match.start()] >> bit & 1
    ]


def from_nth(bits: int, start: int, number: int) -> list[int]:
    """`number` places, or as many as there are, after the first `start` in ascending order."""
    low = _beyond(bits, start)
    high = _beyond(bits, start + number)
    return [low + place for place in places((bits & (1 << high) - 1) >> low)]


def widened(bits: int, place: int) -> int:
    """The set when a place is put in before `place`; it is not in the set itself."""
    # Added to itself, what comes later moves by one place.
    later = bits >> place
    return bits + (later << place) if later else bits


def _beyond(bits: int, number: int) -> int:
    """The end of the shortest beginning that has `number` places, or all, in it."""
    low, high = 0, bits.bit_length()
    while low < high:
        middle = (low + high) // 2
        if (bits & (1 << middle) - 1).bit_count() < number:
            low = middle + 1
        else:
            high = middle
    return low
