"""Figures of the queue of deliveries, which no count of attempts can tell: what still waits."""

from __future__ import annotations

import asyncio
import math

import structlog
from prometheus_client import CollectorRegistry, Gauge

from services.tasks.repository.backlog import BacklogRepository, Standing
from shared.database import Store
from shared.errors import ServiceUnavailable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 10.0
UNKNOWN = (math.nan,) * 4


class Backlog:
    """Looks at the queue every ten seconds. Every worker of a database sees the same figures."""

    def __init__(self, queue: Store[BacklogRepository], registry: CollectorRegistry) -> None:
        self._queue = queue
        # In the order of `Standing`.
        self._gauges = (
            Gauge("webhook_backlog", "Deliveries not yet made", registry=registry),
            Gauge(
                "webhook_backlog_overdue_seconds",
                "How long the first delivery to a webhook that is well has been due",
                registry=registry,
            ),
            Gauge("webhooks_failing", "Webhooks whose receiver fails", registry=registry),
            Gauge("webhooks_given_up", "Webhooks disabled because they failed", registry=registry),
        )

    async def watch(self) -> None:
        """Looks for ever; a background task runs it."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Takes the figures once. They are NaN while the database is away, for nobody knows."""
        try:
            async with self._queue.read() as queue:
                found: Standing | None = await queue.standing()
        except ServiceUnavailable:
            log.warning("backlog_unknown")
            found = None
        for gauge, figure in zip(self._gauges, found or UNKNOWN, strict=True):
            gauge.set(figure)
