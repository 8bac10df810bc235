"""Removal of rows that no longer mean anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from functools import partial

from services.auth.repository import AuthRepository, AuthStore

BATCH = 500
MOST_BATCHES = 20
# What one call removes at most: who gets as many back has more to remove.
PORTION = BATCH * MOST_BATCHES


class Expired(StrEnum):
    """Tables whose rows have an end, by their names in the metrics."""

    SESSIONS = "sessions"
    GUESSES = "failed_guesses"
    ENTRIES = "failed_entries"
    API_KEYS = "api_keys"
    REVOCATIONS = "revocations"


async def purge(store: AuthStore, what: Expired, before: datetime) -> int:
    """Removes at most PORTION rows that ended before that time, in short statements; how many.

    Revocations have no end of their own and go by their age. When our clock is ahead of the
    database's, `before` is as much earlier. Raises ServiceUnavailable.
    """
    async with store.read() as repository:
        before -= await repository.clock.behind()
    return await in_batches(store, partial(_purge_some, what=what, before=before))


async def in_batches(store: AuthStore, remove: Callable[[AuthRepository], Awaitable[int]]) -> int:
    """Calls `remove`, which removes at most BATCH rows, as long as there are more; how many.

    Each call is a transaction of its own, and all of them remove at most PORTION rows.
    """
    removed = 0
    for _ in range(MOST_BATCHES):
        async with store.read() as repository:
            count = await remove(repository)
        removed += count
        if count < BATCH:
            break
    return removed


async def _purge_some(repository: AuthRepository, what: Expired, before: datetime) -> int:
    match what:
        case Expired.SESSIONS:
            return await repository.sessions.purge(before, BATCH)
        case Expired.GUESSES:
            return await repository.guesses.purge(before, BATCH)
        case Expired.ENTRIES:
            return await repository.failed_entries.purge(before, BATCH)
        case Expired.API_KEYS:
            return await repository.api_keys.purge(before, BATCH)
        case Expired.REVOCATIONS:
            return await repository.revocations.purge(before, BATCH)
