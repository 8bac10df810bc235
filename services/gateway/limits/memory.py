"""The limiter of one process: every policy of a request in one step, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.gateway.limits.policies import Applied
from services.gateway.limits.quota import Quota

MAX_KEYS_PER_POLICY = 100_000
_KINDS_REMEMBERED = 1_024


def monotonic_us() -> int:
    """Microseconds of a clock that nobody sets back."""
    return time.monotonic_ns() // 1_000


class Counters:
    """The arrival times of one policy, by subject.

    They live in two generations. A key that was not used for a whole refill time owes nothing any
    more, so when a generation is that old it is dropped as one; nothing is ever searched. Beyond
    `max_keys` keys a generation ends early: memory is bounded, and the keys that lose their
    history are those that were longest unused.
    """

    __slots__ = ("_max_keys", "_old", "_refill_us", "_turn_at", "_young")

    def __init__(self, refill_us: int, max_keys: int) -> None:
        self._refill_us = refill_us
        self._max_keys = max_keys
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._turn_at = 0

    def debt(self, subject: str, now: int) -> int:
        """What `subject` owes, in microseconds."""
        if now >= self._turn_at:
            self._turn(now)
        arrival = self._young.get(subject)
        if arrival is None:
            arrival = self._old.get(subject, 0)
        return arrival - now if arrival > now else 0

    def take(self, subject: str, amount: int, now: int) -> int:
        """Adds `amount` to what `subject` owes if both stay within a refill; what it owed before.

        All in microseconds.
        """
        if now >= self._turn_at:
            self._turn(now)
        young = self._young
        arrival = young.get(subject)
        if arrival is None:
            arrival = self._old.get(subject, 0)
        debt = arrival - now if arrival > now else 0
        after = debt + amount
        if after <= self._refill_us and amount:
            young[subject] = now + after
            if len(young) > self._max_keys:
                self._turn(now)
        return debt

    def put(self, subject: str, arrival: int, now: int) -> None:
        """Keeps the arrival time of `subject`."""
        young = self._young
        young[subject] = arrival
        if len(young) > self._max_keys:
            self._turn(now)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def _turn(self, now: int) -> None:
        # After two idle refill times the young generation has nothing to say either.
        stale = now >= self._turn_at + self._refill_us
        self._old = {} if stale else self._young
        self._young = {}
        self._turn_at = now + self._refill_us


class MemoryLimiter:
    """Spends from counters of this process. Never waits, never fails."""

    def __init__(
        self,
        *,
        max_keys: int = MAX_KEYS_PER_POLICY,
        now: Callable[[], int] = monotonic_us,
    ) -> None:
        self._max_keys = max_keys
        self._now = now
        self._counters: dict[str, Counters] = {}
        self._tables: dict[Applied, list[tuple[Counters, int]]] = {}

    def spend(self, applied: Applied, subjects: tuple[str, ...], cost: int) -> Quota:
        """Takes `cost` from every policy, or from none if one of them refuses.

        A cost of 0 only looks.
        """
        now = self._now()
        tables = self._tables.get(applied)
        if tables is None:
            tables = self._tables_of(applied)
        debts = []
        for (counters, interval), subject in zip(tables, subjects, strict=True):
            debts.append(counters.take(subject, cost * interval, now))
        quota = Quota(applied, debts, cost)
        if cost and not quota.allowed:
            # Nobody else has looked meanwhile: those that admitted get back what they had.
            for (counters, _), subject, debt in zip(tables, subjects, debts, strict=True):
                counters.put(subject, now + debt, now)
        return quota

    def _tables_of(self, applied: Applied) -> list[tuple[Counters, int]]:
        if len(self._tables) >= _KINDS_REMEMBERED:
            # Reloads make new kinds of requests; the counters themselves stay.
            self._tables.clear()
        tables = []
        for policy in applied.policies:
            name = policy.storage_name
            if name not in self._counters:
                self._counters[name] = Counters(policy.capacity_us, self._max_keys)
            tables.append((self._counters[name], policy.interval_us))
        self._tables[applied] = tables
        return tables
