"""What is kept of what was seen, in bounded numbers."""

from __future__ import annotations

from itertools import islice
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def remember(known: dict[K, V], key: K, value: V, most: int) -> None:
    """Remembers `value`; of `most` the quarter that has been known for longest makes room.

    Many at a time: the first of a dictionary is looked for where those before it have been.
    """
    if len(known) >= most:
        for oldest in list(islice(known, most // 4)):
            del known[oldest]
    known[key] = value
