"""The background job that links and seals the audit log, with the figures that tell how it goes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.auth.keys import KeyRing
from services.auth.repository import AuthStore
from services.auth.usecases.audit_chain import BATCH, ChainBroken, link_some, seal
from shared.clock import utc_now
from shared.errors import ServiceUnavailable

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.5


class AuditKeeper:
    """Every replica runs one; the one row at the head of the chain lets one of them work."""

    def __init__(
        self, store: AuthStore, keys: KeyRing, registry: CollectorRegistry, *, seal_seconds: float
    ) -> None:
        self._store = store
        self._keys = keys
        self._seal_every = timedelta(seconds=seal_seconds)
        self._events = Counter(
            "auth_audit_events_total",
            "Events linked by this replica",
            ("event", "outcome"),
            registry=registry,
        )
        self._lag = Gauge(
            "auth_audit_lag_seconds", "Age of the earliest event not linked yet", registry=registry
        )
        self._seal_age = Gauge(
            "auth_audit_seal_age_seconds",
            "Age of the last seal, 0 when nothing is waiting for one",
            registry=registry,
        )
        self._broken = Gauge(
            "auth_audit_chain_broken", "1 when linked events were changed", registry=registry
        )
        self._failures = Counter(
            "auth_audit_failures_total", "Rounds put off by the database", registry=registry
        )

    async def keep(self) -> None:
        """Works for ever; a database that is away is tried again after the pause."""
        while True:
            busy = False
            try:
                busy = await self.work()
            except ServiceUnavailable:
                self._failures.inc()
                log.warning("audit_put_off")
            await asyncio.sleep(0 if busy else PAUSE_SECONDS)

    async def work(self) -> bool:
        """One round; whether more is waiting. Raises ServiceUnavailable."""
        linked = await link_some(self._store)
        for row in linked:
            self._events.labels(row.event, row.outcome).inc()
        await self._seal()
        await self._measure()
        return len(linked) == BATCH

    async def _seal(self) -> None:
        try:
            made = await seal(self._store, self._keys.signing, utc_now(), every=self._seal_every)
        except ChainBroken as error:
            self._broken.set(1)
            log.error("audit_chain_broken", reason=str(error))
            return
        self._broken.set(0)
        if made is not None:
            # Logs go elsewhere: from this line a log that was cut off or rewritten can be told.
            log.info("audit_sealed", sequence=made.sequence, seal=made.token)

    async def _measure(self) -> None:
        now = utc_now()
        async with self._store.read() as repository:
            oldest = await repository.audit.oldest_unlinked()
            last = await repository.audit.last_seal()
            head = await repository.audit.head()
        self._lag.set(0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
        waiting = last is not None and head.sequence > last.sequence
        self._seal_age.set((now - last.at).total_seconds() if waiting and last else 0)
