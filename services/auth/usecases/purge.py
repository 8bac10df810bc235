"""Removal of rows that no longer mean anything."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.auth.repository import AuthRepository, AuthStore

BATCH = 500
MOST_BATCHES = 20


async def purge(store: AuthStore, now: datetime, *, revocations_kept: timedelta) -> int:
    """Removes rows past their time in short statements; returns how many.

    What one call leaves, the next finds. Raises ServiceUnavailable.
    """

    async def revocations(repository: AuthRepository, now: datetime) -> int:
        return await repository.revocations.purge(now - revocations_kept, BATCH)

    removed = 0
    for purge_some in (_sessions, _guesses, _failed_entries, _api_keys, revocations):
        for _ in range(MOST_BATCHES):
            async with store.read() as repository:
                count = await purge_some(repository, now)
            removed += count
            if count < BATCH:
                break
    return removed


async def _sessions(repository: AuthRepository, now: datetime) -> int:
    return await repository.sessions.purge(now, BATCH)


async def _guesses(repository: AuthRepository, now: datetime) -> int:
    return await repository.guesses.purge(now, BATCH)


async def _failed_entries(repository: AuthRepository, now: datetime) -> int:
    return await repository.failed_entries.purge(now, BATCH)


async def _api_keys(repository: AuthRepository, now: datetime) -> int:
    return await repository.api_keys.purge(now, BATCH)
