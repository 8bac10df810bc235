"""Counters of wrong guesses, by a keyed hash of what was guessed at."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.database import Connection


class Guesses:
    """Reads and writes counters by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def locked_until(self, subject: bytes, now: datetime) -> datetime | None:
        """When the lock on `subject` ends, None when there is none."""
        found: datetime | None = await self._connection.fetchval(
            "SELECT locked_until FROM failed_guesses WHERE subject = $1 AND locked_until > $2",
            subject,
            now,
        )
        return found

    async def count(self, subject: bytes, now: datetime, memory: timedelta) -> int | None:
        """Adds a failure and returns how many there are in a row; None, adding none, when locked.

        The row stays ours until the transaction ends, so a lock can follow before the next one
        counts.
        """
        failures: int | None = await self._connection.fetchval(
            "INSERT INTO failed_guesses AS kept (subject, failures, expires_at)"
            " VALUES ($1, 1, $3) ON CONFLICT (subject) DO UPDATE SET"
            " failures = CASE WHEN kept.expires_at <= $2 THEN 1 ELSE kept.failures + 1 END,"
            " locked_until = NULL, expires_at = $3"
            " WHERE kept.locked_until IS NULL OR kept.locked_until <= $2 RETURNING failures",
            subject,
            now,
            now + memory,
        )
        return failures

    async def lock(self, subject: bytes, until: datetime, memory: timedelta) -> None:
        await self._connection.execute(
            "UPDATE failed_guesses SET locked_until = $2, expires_at = $3 WHERE subject = $1",
            subject,
            until,
            until + memory,
        )

    async def hold(self, subject: bytes, now: datetime) -> datetime | None:
        """As `locked_until`; a counter that exists stays ours until the transaction ends."""
        found: datetime | None = await self._connection.fetchval(
            "SELECT locked_until FROM failed_guesses WHERE subject = $1 FOR UPDATE", subject
        )
        return found if found is not None and found > now else None

    async def forget(self, subject: bytes) -> None:
        await self._connection.execute("DELETE FROM failed_guesses WHERE subject = $1", subject)

    async def purge(self, now: datetime, limit: int) -> int:
        """Removes at most `limit` counters past their time; returns how many."""
        rows = await self._connection.fetch(
            "DELETE FROM failed_guesses WHERE subject = ANY (ARRAY(SELECT subject"
            " FROM failed_guesses WHERE expires_at < $1 ORDER BY expires_at LIMIT $2"
            " FOR UPDATE SKIP LOCKED))"
            " RETURNING 1",
            now,
            limit,
        )
        return len(rows)
