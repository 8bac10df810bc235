"""What somebody noted of the chain in a place that its keeper cannot write to."""

from __future__ import annotations

from dataclasses import dataclass

_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Anchor:
    """What somebody noted elsewhere: the row `sequence` had this hash."""

    sequence: int
    hash: bytes


def anchor(text: str) -> Anchor:
    """`SEQUENCE:HASH` as `audit verify` prints it. Raises ValueError."""
    sequence, _, value = text.partition(":")
    found = Anchor(int(sequence), bytes.fromhex(value))
    if found.sequence < 1 or len(found.hash) != _HASH_BYTES:
        raise ValueError("not SEQUENCE:HASH")
    return found
