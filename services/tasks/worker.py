"""The worker of tasks: what has to happen without anybody asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.tasks.account_feed import AccountFeed, Eraser
from services.tasks.app import new_database
from services.tasks.repository.answers import AnswerRepository
from services.tasks.repository.backlog import BacklogRepository
from services.tasks.repository.deliveries import DeliveryQueue
from services.tasks.repository.erasure import ErasureRepository
from services.tasks.repository.feed import FeedRepository
from services.tasks.repository.trash import TrashRepository
from services.tasks.revisions import MIGRATE_COMMAND, MIGRATIONS
from services.tasks.settings import Settings
from services.tasks.usecases.purges import (
    PURGE_BATCH,
    purge_answers,
    purge_changes,
    purge_deliveries,
    purge_trash,
)
from services.tasks.webhooks.backlog import Backlog
from services.tasks.webhooks.delivery import Delivery, DeliveryMetrics
from services.tasks.webhooks.sender import Sender
from shared.database import Database, Store
from shared.database_figures import DatabaseFigures
from shared.errors import ServiceUnavailable
from shared.health import Health
from shared.metrics import new_registry
from shared.ops import ops_listener
from shared.process import StartRefused, background
from shared.revisions import head

log = structlog.get_logger(__name__)


class Purge:
    """Removes what has been kept long enough, a batch at a time, and counts what it does.

    `name` is what is removed, and the beginning of its metrics.
    """

    def __init__(
        self,
        name: str,
        remove: Callable[[], Awaitable[int]],
        registry: CollectorRegistry,
        *,
        pause_seconds: float,
    ) -> None:
        self._name = name
        self._remove = remove
        self._pause_seconds = pause_seconds
        self._purged = Counter(f"{name}_purged_total", "Removed for good", registry=registry)
        self._failures = Counter(
            f"{name}_purge_failures_total", "Purges put off by the database", registry=registry
        )
        self._finished_at = Gauge(
            f"{name}_purge_finished_timestamp_seconds",
            "When there was last nothing left to remove",
            registry=registry,
        )

    async def run(self) -> None:
        """Goes on until cancelled; a database that is away is tried again after the pause."""
        while True:
            try:
                removed = await self._remove()
            except ServiceUnavailable:
                self._failures.inc()
                log.warning("purge_put_off", of=self._name)
                removed = 0
            else:
                self._purged.inc(removed)
                if removed < PURGE_BATCH:
                    self._finished_at.set_to_current_time()
            # A full batch means that more is waiting.
            await asyncio.sleep(0 if removed == PURGE_BATCH else self._pause_seconds)


@asynccontextmanager
async def start_worker(settings: Settings) -> AsyncIterator[Health]:
    """Works while the block runs.

    Raises StartRefused for a schema that is too old, and in production without the key that it
    asks auth with: what belongs to deleted accounts would stay.
    """
    if not settings.development and not settings.service_credential:
        raise StartRefused("SERVICE_CREDENTIAL: Must be set in production.")
    registry = new_registry("tasks-worker")
    database = new_database(settings, registry, application="tasks-worker")
    await database.open()
    try:
        await database.require_revision(head(MIGRATIONS), MIGRATE_COMMAND)
        erasures = Store(database, ErasureRepository)
        feed = AccountFeed(settings, erasures, registry)
        health = Health(
            critical={"database": database.check},
            optional={"account_feed": feed.check} if settings.service_credential else {},
        )
        async with (
            Sender(
                allow_private=settings.webhooks_allow_private,
                timeout_seconds=settings.webhooks_timeout_seconds,
            ) as sender,
            ops_listener(settings.bind_host, settings.worker_ops_port, health, registry),
            background(
                _delivery(settings, database, registry, sender).run,
                feed.follow,
                Eraser(erasures, registry).run,
                Backlog(Store(database, BacklogRepository), registry).watch,
                DatabaseFigures(database, registry, room_bytes=settings.database_room).watch,
                *(purge.run for purge in _purges(settings, database, registry)),
            ),
        ):
            yield health
    finally:
        await database.close()


def _delivery(
    settings: Settings, database: Database, registry: CollectorRegistry, sender: Sender
) -> Delivery:
    return Delivery(
        Store(database, DeliveryQueue),
        settings.sealing_keys,
        sender,
        DeliveryMetrics(registry),
        scale=settings.webhooks_schedule_scale,
        # Longer than an attempt takes, shorter than anybody likes to wait after a crash.
        lease=timedelta(seconds=2 * settings.webhooks_timeout_seconds),
        poll_seconds=settings.webhooks_poll_seconds,
    )


def _purges(settings: Settings, database: Database, registry: CollectorRegistry) -> Iterator[Purge]:
    removals: dict[str, Callable[[], Awaitable[int]]] = {
        "tasks": partial(
            purge_trash, Store(database, TrashRepository), timedelta(days=settings.trash_days)
        ),
        "changes": partial(
            purge_changes, Store(database, FeedRepository), timedelta(days=settings.changes_days)
        ),
        "deliveries": partial(
            purge_deliveries, Store(database, DeliveryQueue), timedelta(days=settings.changes_days)
        ),
        "idempotent_answers": partial(purge_answers, Store(database, AnswerRepository)),
    }
    for name, remove in removals.items():
        yield Purge(name, remove, registry, pause_seconds=settings.purge_interval_seconds)
