"""The background job that removes what is past its time, with the figures that tell how it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.auth.repository import AuthStore
from services.auth.usecases.audit_retention import erase_origins, purge_audit, purge_seals
from services.auth.usecases.purge import PORTION, Expired, purge
from shared.clock import utc_now
from shared.errors import ServiceUnavailable

log = structlog.get_logger(__name__)

Removal = Callable[[], Awaitable[int]]


class Purging:
    """Every replica runs one; rows that another is removing are passed over.

    What cannot be removed from one table keeps nothing in the others. A row has to be past its time
    by the clock of the database too: a process whose own is ahead removes nothing early.
    `revocations_kept` and `audit_kept` are how long those two are kept.
    """

    def __init__(
        self,
        store: AuthStore,
        registry: CollectorRegistry,
        *,
        pause_seconds: float,
        revocations_kept: timedelta,
        audit_kept: timedelta,
    ) -> None:
        self._store = store
        self._pause_seconds = pause_seconds
        self._kept = {Expired.REVOCATIONS: revocations_kept}
        self._audit_kept = audit_kept
        self._purged = Counter("auth_purged_total", "Removed for good", ("of",), registry=registry)
        self._failures = Counter(
            "auth_purge_failures_total",
            "Purges put off by the database",
            ("of",),
            registry=registry,
        )
        self._finished_at = Gauge(
            "auth_purge_finished_timestamp_seconds",
            "When there was last nothing left to remove; at first, when the process began",
            ("of",),
            registry=registry,
        )
        for name in self._removals():
            self._purged.labels(name)
            self._failures.labels(name)
            self._finished_at.labels(name).set_to_current_time()

    async def run(self) -> None:
        """Goes on until cancelled; a database that is away is tried again after the pause."""
        more = False
        while True:
            await asyncio.sleep(0 if more else self._pause_seconds)
            found = [await self._remove(name, some) for name, some in self._removals().items()]
            more = PORTION in found

    async def _remove(self, name: str, some: Removal) -> int:
        try:
            removed = await some()
        except ServiceUnavailable:
            self._failures.labels(name).inc()
            log.warning("purge_put_off", of=name)
            return 0
        self._purged.labels(name).inc(removed)
        if removed < PORTION:
            self._finished_at.labels(name).set_to_current_time()
        return removed

    def _removals(self) -> Mapping[str, Removal]:
        """What removes a portion of each, by name, as of now."""
        now = utc_now()
        removals: dict[str, Removal] = {
            what.value: partial(purge, self._store, what, now - self._kept.get(what, timedelta()))
            for what in Expired
        }
        return removals | {
            "audit_events": partial(purge_audit, self._store, now, kept=self._audit_kept),
            "audit_seals": partial(purge_seals, self._store),
            "audit_origins": partial(erase_origins, self._store),
        }
