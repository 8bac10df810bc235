"""The end of what the audit log keeps: old events, and the traces of people who are gone."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.auth.audit.event import AuditEvent
from services.auth.audit.recording import record
from services.auth.repository import AuthStore
from services.auth.usecases.purge import BATCH, PORTION, in_batches


async def purge_audit(store: AuthStore, now: datetime, *, kept: timedelta) -> int:
    """Removes events from before `now - kept` in short statements; returns how many.

    They go up to a seal, whose hash is then what the rest of the chain begins with; that they went
    is an event itself. Raises ServiceUnavailable.
    """
    async with store.begin() as repository:
        now -= await repository.clock.behind()
        head = await repository.audit.take_head()
        seal = await repository.audit.last_seal(before=now - kept) if head is not None else None
        if head is not None and seal is not None and seal.sequence > head.purged_until:
            await repository.audit.begin_purge(seal.sequence)
            await record(repository, AuditEvent.AUDIT_PURGED, now, details={"until": seal.sequence})
    return await in_batches(store, lambda repository: repository.audit.purge(BATCH))


async def purge_seals(store: AuthStore) -> int:
    """Removes seals from before the one that the log begins with; returns how many.

    Raises ServiceUnavailable.
    """
    return await in_batches(store, lambda repository: repository.audit.purge_seals(BATCH))


async def erase_origins(store: AuthStore) -> int:
    """Erases where deleted people came from, a batch at a time; returns of how many events.

    Each event keeps the salted hash that stands for it in the chain. Raises ServiceUnavailable.
    """
    erased = 0
    while erased < PORTION:
        async with store.begin() as repository:
            user_id = await repository.deletions.next_to_erase()
            if user_id is None:
                break
            count = await repository.audit.erase_origins(user_id, BATCH)
            if count < BATCH:
                await repository.deletions.erased(user_id)
        erased += count
    return erased
