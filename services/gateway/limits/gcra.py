"""The generic cell rate algorithm in whole microseconds (ITU-T I.371, "virtual scheduling").

A policy of `burst` requests, one more every `interval`, keeps one number per key: the theoretical
arrival time, the moment at which everything spent so far will have been earned back. Whole numbers
make Redis's Lua and Python agree to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple


class Verdict(NamedTuple):
    """What spending would do. All times are microseconds from `now`.

    `arrival` is the theoretical arrival time to store if the request is admitted. `retry_after` is
    0 when the cost can be spent at once. `remaining` and `reset` (until nothing is owed any more)
    hold after the request: spent when it can be, untouched when it cannot.
    """

    arrival: int
    remaining: int
    reset: int
    retry_after: int


def interval_of(count: int, period_us: int) -> int:
    """Microseconds between two requests; rounded up, so the stated rate is never exceeded.

    That costs at most 1 % of a rate of up to 10 000 a second.
    """
    return -(-period_us // count)


def judge(arrival: int, now: int, interval: int, burst: int, cost: int) -> Verdict:
    """Weighs `cost` units against the stored `arrival` (anything up to `now` means unused)."""
    debt = arrival - now if arrival > now else 0
    capacity = burst * interval
    after = debt + cost * interval
    if after <= capacity:
        return Verdict(now + after, (capacity - after) // interval, after, 0)
    remaining = (capacity - debt) // interval if debt < capacity else 0
    return Verdict(arrival, remaining, debt, after - capacity)
