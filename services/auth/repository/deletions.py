"""The feed of deleted accounts, in the order in which they committed; it only grows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.auth.domain import Deletion
from shared.database import Connection


class Deletions:
    """Writes and reads the feed by one connection.

    Publishing takes the one row that gives the numbers, so it comes late in a transaction, and
    before that of a revocation.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(self, user_id: UUID, now: datetime) -> None:
        """Tells that an account is gone."""
        await self._connection.execute(
            "WITH head AS (UPDATE deletion_head SET sequence = sequence + 1 RETURNING sequence)"
            " INSERT INTO account_deletions (sequence, user_id, at)"
            " SELECT head.sequence, $1, $2 FROM head",
            user_id,
            now,
        )

    async def head(self) -> int:
        """The number of the last one published."""
        sequence: int = await self._connection.fetchval("SELECT sequence FROM deletion_head")
        return sequence

    async def after(self, sequence: int, limit: int) -> list[Deletion]:
        """The next ones after `sequence`, at most `limit`."""
        rows = await self._connection.fetch(
            "SELECT sequence, user_id, at FROM account_deletions WHERE sequence > $1"
            " ORDER BY sequence LIMIT $2",
            sequence,
            limit,
        )
        return [Deletion(*row) for row in rows]

    async def among(self, user_ids: Sequence[UUID]) -> set[UUID]:
        """Which of these accounts have been deleted."""
        rows = await self._connection.fetch(
            "SELECT user_id FROM account_deletions WHERE user_id = ANY($1)", user_ids
        )
        return {row["user_id"] for row in rows}

    async def next_to_erase(self) -> UUID | None:
        """A deleted account whose traces are not all erased from the audit log."""
        found: UUID | None = await self._connection.fetchval(
            "SELECT user_id FROM account_deletions WHERE NOT origins_erased"
            " ORDER BY sequence LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        return found

    async def erased(self, user_id: UUID) -> None:
        """Books that nothing is left to erase."""
        await self._connection.execute(
            "UPDATE account_deletions SET origins_erased = true WHERE user_id = $1", user_id
        )
