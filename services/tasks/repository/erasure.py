"""The data of owners whose accounts are gone, on its way out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.tasks.repository.feed import take_turn
from shared.database import Connection

# Everything that belongs to an owner, by table and condition, in the order in which it goes: what
# others refer to comes after them, so that no cascade takes more than a batch. Live and deleted
# tasks have an index each.
OWNED = (
    ("deliveries", "owner_id = $1"),
    ("webhooks", "owner_id = $1"),
    ("changes", "owner_id = $1"),
    ("tasks", "owner_id = $1 AND deleted_at IS NULL"),
    ("tasks", "owner_id = $1 AND deleted_at IS NOT NULL"),
    ("tallies", "owner_id = $1"),
    ("feeds", "owner_id = $1"),
    ("idempotent_answers", "caller_id = $1"),
)


class Erasure(NamedTuple):
    """An owner whose data is to go; after `until` nothing can come any more."""

    owner_id: UUID
    until: datetime


class ErasureRepository:
    """Reads and writes what has to go by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def position(self) -> int:
        """How far auth's feed has been read."""
        sequence: int = await self._connection.fetchval("SELECT sequence FROM account_feed")
        return sequence

    async def move(self, sequence: int) -> None:
        """Books how far auth's feed has been read."""
        await self._connection.execute("UPDATE account_feed SET sequence = $1", sequence)

    async def add(self, owners: Sequence[UUID], now: datetime, until: datetime) -> None:
        """Marks these owners; one who is marked already stays as he is."""
        await self._connection.execute(
            "INSERT INTO erasures (owner_id, look_at, until)"
            " SELECT owner_id, $2, $3 FROM unnest($1::uuid[]) AS given (owner_id)"
            " ON CONFLICT DO NOTHING",
            owners,
            now,
            until,
        )

    async def take(self, now: datetime) -> Erasure | None:
        """An owner whose turn it is, ours until the transaction ends."""
        row = await self._connection.fetchrow(
            "SELECT owner_id, until FROM erasures WHERE look_at <= $1"
            " ORDER BY look_at LIMIT 1 FOR UPDATE SKIP LOCKED",
            now,
        )
        return None if row is None else Erasure(*row)

    async def remove(self, owner_id: UUID, limit: int) -> int:
        """Removes at most `limit` rows of what an owner has; returns how many.

        His writers are waited for. Webhooks are silenced first, so that none tells of more.
        """
        await take_turn(self._connection, owner_id)
        await self._connection.execute(
            "UPDATE webhooks SET enabled = false WHERE owner_id = $1 AND enabled", owner_id
        )
        # No change tells of what goes. Another revision ends what is remembered of his lists.
        await self._connection.execute("UPDATE feeds SET live = live WHERE owner_id = $1", owner_id)
        removed = 0
        for table, condition in OWNED:
            tag: str = await self._connection.execute(
                f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("
                f"SELECT ctid FROM {table} WHERE {condition} LIMIT $2))",
                owner_id,
                limit - removed,
            )
            removed += int(tag.removeprefix("DELETE "))
            if removed >= limit:
                break
        return removed

    async def wait(self, owner_id: UUID, look_at: datetime) -> None:
        """Looks at an owner again at that time."""
        await self._connection.execute(
            "UPDATE erasures SET look_at = $2 WHERE owner_id = $1", owner_id, look_at
        )

    async def finish(self, owner_id: UUID) -> None:
        """Nothing is left, and nothing can come."""
        await self._connection.execute("DELETE FROM erasures WHERE owner_id = $1", owner_id)

    async def waiting(self, now: datetime) -> int:
        """How many owners have data that is to go at this moment."""
        number: int = await self._connection.fetchval(
            "SELECT count(*) FROM erasures WHERE look_at <= $1", now
        )
        return number
