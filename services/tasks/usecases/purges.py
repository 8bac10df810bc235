"""Removing for good what has been kept long enough."""

from __future__ import annotations

from datetime import timedelta

from services.tasks.repository.answers import AnswerRepository
from services.tasks.repository.deliveries import DeliveryQueue
from services.tasks.repository.feed import FeedRepository
from services.tasks.repository.trash import TrashRepository
from services.tasks.usecases.idempotency import KEPT
from shared.clock import utc_now
from shared.database import Store

PURGE_BATCH = 500


async def purge_trash(trash: Store[TrashRepository], keep: timedelta) -> int:
    """Removes one batch of the tasks that were deleted longer than `keep` ago; how many."""
    async with trash.read() as repository:
        return await repository.purge(utc_now() - keep, PURGE_BATCH)


async def purge_changes(feed: Store[FeedRepository], keep: timedelta) -> int:
    """Removes one batch of the changes that are older than `keep`; how many."""
    async with feed.read() as repository:
        return await repository.purge(utc_now() - keep, PURGE_BATCH)


async def purge_answers(answers: Store[AnswerRepository]) -> int:
    """Removes one batch of the answers whose idempotency keys have expired; how many."""
    async with answers.read() as repository:
        return await repository.purge(utc_now() - KEPT, PURGE_BATCH)


async def purge_deliveries(queue: Store[DeliveryQueue], keep: timedelta) -> int:
    """Removes one batch of the finished deliveries that are older than `keep`; how many."""
    async with queue.read() as repository:
        return await repository.purge(utc_now() - keep, PURGE_BATCH)
