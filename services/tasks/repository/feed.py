"""The change feed: written by whoever writes tasks, read by its owner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.tasks.changes import Change, snapshot
from shared.answers import encode
from shared.database import Connection

_TAKE = "SELECT 1 FROM feeds WHERE owner_id = $1 FOR UPDATE"
_BEGIN = "INSERT INTO feeds VALUES ($1, 0, 0, 0) ON CONFLICT DO NOTHING"
# Told to those who want it in the very statement that records it: a webhook misses nothing.
QUEUE = """
    INSERT INTO deliveries (webhook_id, owner_id, sequence, event_id, type, task_id)
    SELECT webhooks.id, owner_id, recorded.sequence, recorded.id, recorded.type, recorded.task_id
    FROM recorded JOIN webhooks USING (owner_id)
    WHERE webhooks.enabled AND recorded.type = ANY(webhooks.events)
"""
_RECORD = f"""
    WITH moved AS (
        UPDATE feeds SET sequence = sequence + $2, live = live + $3, completed = completed + $4
        WHERE owner_id = $1 RETURNING sequence - $2 AS before
    ), recorded AS (
    INSERT INTO changes (owner_id, sequence, id, type, task_id, at, task, previous)
    SELECT $1, moved.before + given.place, given.id, given.type, given.task_id, given.at,
        given.task::json, given.previous::json
    FROM moved, unnest($5::uuid[], $6::text[], $7::uuid[], $8::timestamptz[], $9::text[],
        $10::text[]) WITH ORDINALITY AS given (id, type, task_id, at, task, previous, place)
    RETURNING owner_id, sequence, id, type, task_id
    )
    {QUEUE}
"""
_READ = """
    SELECT feeds.sequence, page.* FROM feeds LEFT JOIN (
        SELECT sequence, id, type, task_id, at, task FROM changes
        WHERE owner_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
    ) AS page ON true
    WHERE feeds.owner_id = $1 ORDER BY page.sequence
"""
# What an owner's feed was like at some moment, who has one: the sequence, and the transaction that
# set it. The latter is another one after a restore, which may give out the same sequence again.
REVISION = "sequence || '.' || xmin"
# Of an owner who never had a task.
NEVER = "0"
_REVISIONS = f"SELECT owner_id, {REVISION} FROM feeds WHERE owner_id = ANY($1)"
_PURGE = """
    DELETE FROM changes WHERE (owner_id, sequence) IN (
        SELECT owner_id, sequence FROM changes WHERE at < $1
        ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""


def sequence_of(revision: str) -> int:
    """How many changes of an owner there were at a revision."""
    return int(revision.partition(".")[0])


class RecordedChange(NamedTuple):
    """A change as it stands in the feed; `task` is JSON text."""

    sequence: int
    id: UUID
    type: str
    task_id: UUID
    at: datetime
    task: str


async def take_turn(connection: Connection, owner_id: UUID) -> None:
    """Makes this owner's writers follow each other until their transactions end.

    It comes first in a transaction that writes tasks. From then on what is read of the owner's
    live tasks stays true, so nothing else needs a lock.
    """
    if await connection.fetchval(_TAKE, owner_id) is None:
        await connection.execute(_BEGIN, owner_id)
        await connection.fetchval(_TAKE, owner_id)


async def record(connection: Connection, owner_id: UUID, changes: Sequence[Change]) -> None:
    """Appends to the feed of an owner whose turn has been taken."""
    await connection.execute(
        _RECORD,
        owner_id,
        len(changes),
        sum(change.live for change in changes),
        sum(change.completed for change in changes),
        [change.id for change in changes],
        [change.type for change in changes],
        [change.task.id for change in changes],
        [change.task.updated_at for change in changes],
        [shown(change) for change in changes],
        [replaced(change) for change in changes],
    )


def shown(change: Change) -> str:
    """The task of a change as JSON text."""
    return encode(snapshot(change.task), None).decode()


def replaced(change: Change) -> str | None:
    """The values that a change replaced, as JSON text."""
    previous = change.previous
    return None if previous is None else encode(previous, None).decode()


class FeedRepository:
    """The feeds behind one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(
        self, owner_id: UUID, after: int, limit: int
    ) -> tuple[int, list[RecordedChange]]:
        """The owner's latest sequence, and at most `limit` kept changes after that one."""
        rows = await self._connection.fetch(_READ, owner_id, after, limit)
        if not rows:
            return 0, []
        latest: int = rows[0][0]
        if rows[0][1] is None:
            return latest, []
        return latest, [RecordedChange(*row[1:]) for row in (tuple(row) for row in rows)]

    async def revisions(self, owner_ids: Sequence[UUID]) -> dict[UUID, str]:
        """What moves with every change of an owner's tasks; without a feed he is left out."""
        return dict(await self._connection.fetch(_REVISIONS, owner_ids))

    async def purge(self, before: datetime, limit: int) -> int:
        """Removes at most `limit` changes older than that; returns how many."""
        tag: str = await self._connection.execute(_PURGE, before, limit)
        return int(tag.removeprefix("DELETE "))
