"""Taking away what belonged to accounts that auth has deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from services.tasks.repository.erasure import ErasureRepository
from shared.database import Store

BATCH = 500
# Longer than any access token lives, with clocks that differ: until then a late writer may come.
LATE_WRITERS = timedelta(hours=2)

Erasures = Store[ErasureRepository]


async def position(erasures: Erasures) -> int:
    """How far auth's feed has been read. Raises ServiceUnavailable."""
    async with erasures.read() as repository:
        return await repository.position()


async def take_over(
    erasures: Erasures, owners: Sequence[UUID], following: int, now: datetime
) -> None:
    """Marks owners for erasure and moves on in the feed, both or neither.

    The same page again does no harm. Raises ServiceUnavailable.
    """
    async with erasures.begin() as repository:
        await repository.add(owners, now, now + LATE_WRITERS)
        await repository.move(following)


async def erase_some(erasures: Erasures, now: datetime) -> int | None:
    """Removes one batch of one owner's data; how many rows, None when it is nobody's turn.

    Raises ServiceUnavailable.
    """
    async with erasures.begin() as repository:
        erasure = await repository.take(now)
        if erasure is None:
            return None
        removed = await repository.remove(erasure.owner_id, BATCH)
        if removed < BATCH:
            if erasure.until <= now:
                await repository.finish(erasure.owner_id)
            else:
                await repository.wait(erasure.owner_id, erasure.until)
    return removed


async def waiting(erasures: Erasures, now: datetime) -> int:
    """How many owners have data that is to go at this moment. Raises ServiceUnavailable."""
    async with erasures.read() as repository:
        return await repository.waiting(now)
