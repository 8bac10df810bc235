"""Which accounts a source has failed to enter lately, as keyed hashes of both.

How long ago that was goes by the clock of the database, which is one for all replicas.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.database import Connection


class FailedEntries:
    """Reads and writes them by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def full_for(self, source: bytes, limit: int) -> timedelta | None:
        """How long until `source` has fewer than `limit` accounts; None when it has fewer already.

        That is when the newest but `limit - 1` is forgotten.
        """
        left: timedelta | None = await self._connection.fetchval(
            "SELECT expires_at - now() FROM failed_entries WHERE source = $1"
            " AND expires_at > now() ORDER BY expires_at DESC OFFSET $2 LIMIT 1",
            source,
            limit - 1,
        )
        return left

    async def hold(self, source: bytes) -> None:
        """Makes others that hold the same source wait until the transaction ends."""
        number = int.from_bytes(source[:8], "big", signed=True)
        await self._connection.execute("SELECT pg_advisory_xact_lock($1)", number)

    async def add(self, sources: list[bytes], subject: bytes, window: timedelta) -> None:
        """Notes a failure of each of `sources` for so long; one account counts once."""
        await self._connection.execute(
            "INSERT INTO failed_entries (source, subject, expires_at)"
            " SELECT source, $2, now() + $3::interval FROM unnest($1::bytea[]) AS given (source)"
            " ORDER BY source"
            " ON CONFLICT (source, subject) DO UPDATE SET expires_at = excluded.expires_at",
            sources,
            subject,
            window,
        )

    async def purge(self, now: datetime, limit: int) -> int:
        """Removes at most `limit` past their time; returns how many."""
        rows = await self._connection.fetch(
            "DELETE FROM failed_entries WHERE ctid = ANY (ARRAY(SELECT ctid"
            " FROM failed_entries WHERE expires_at < $1 ORDER BY expires_at LIMIT $2"
            " FOR UPDATE SKIP LOCKED)) RETURNING 1",
            now,
            limit,
        )
        return len(rows)
