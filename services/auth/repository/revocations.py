"""The feed of revocations, in the order in which they committed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.auth.domain import Revocation
from shared.database import Connection

CHANNEL = "revocations"  # of LISTEN and NOTIFY


class Revocations:
    """Writes and reads the feed by one connection.

    Publishing comes last in a transaction: it holds the one row that gives the numbers, and who
    holds that must not wait for anybody.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def end_sessions(self, sessions: Sequence[UUID]) -> None:
        """Makes the tokens of these sessions, or API keys, void."""
        if sessions:
            await self._publish("session", list(sessions), None)

    async def void_tokens(self, user_id: UUID, epoch: int) -> None:
        """Makes the account's tokens from before `epoch` void."""
        await self._publish("user", [user_id], epoch)

    async def head(self) -> int:
        """The number of the last one published."""
        sequence: int = await self._connection.fetchval("SELECT sequence FROM revocation_head")
        return sequence

    async def after(self, sequence: int, limit: int) -> list[Revocation]:
        """The next ones after `sequence`, at most `limit`."""
        rows = await self._connection.fetch(
            "SELECT sequence, kind, subject, epoch, at FROM revocations WHERE sequence > $1"
            " ORDER BY sequence LIMIT $2",
            sequence,
            limit,
        )
        return [Revocation(**dict(row)) for row in rows]

    async def purge(self, before: datetime, limit: int) -> int:
        """Removes at most `limit` from before that time; returns how many."""
        rows = await self._connection.fetch(
            "DELETE FROM revocations WHERE sequence = ANY (ARRAY(SELECT sequence FROM revocations"
            " WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1",
            before,
            limit,
        )
        return len(rows)

    async def _publish(self, kind: str, subjects: list[UUID], epoch: int | None) -> None:
        await self._connection.fetch(
            "WITH head AS (UPDATE revocation_head SET sequence = sequence + cardinality($2::uuid[])"
            " RETURNING sequence - cardinality($2::uuid[]) AS before)"
            " INSERT INTO revocations (sequence, kind, subject, epoch, at)"
            " SELECT head.before + given.place, $1, given.subject, $3, clock_timestamp()"
            " FROM head, unnest($2::uuid[]) WITH ORDINALITY AS given (subject, place)"
            f" RETURNING pg_notify('{CHANNEL}', '')",
            kind,
            subjects,
            epoch,
        )
