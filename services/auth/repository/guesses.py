"""Counters of wrong guesses, by a keyed hash of what was guessed at.

Locks go by the clock of the database, which is one for all replicas: none whose own clock steps
lifts a lock, or sets one that is over already.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.database import Connection


class Guesses:
    """Reads and writes counters by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def locked_for(self, subject: bytes) -> timedelta | None:
        """How long `subject` stays locked, None when it is not."""
        left: timedelta | None = await self._connection.fetchval(
            "SELECT locked_until - now() FROM failed_guesses"
            " WHERE subject = $1 AND locked_until > now()",
            subject,
        )
        return left

    async def count(self, subject: bytes, memory: timedelta) -> int | None:
        """Adds a failure and returns how many there are in a row; None, adding none, when locked.

        The row stays ours until the transaction ends, so a lock can follow before the next one
        counts.
        """
        failures: int | None = await self._connection.fetchval(
            "INSERT INTO failed_guesses AS kept (subject, failures, expires_at)"
            " VALUES ($1, 1, now() + $2::interval) ON CONFLICT (subject) DO UPDATE SET"
            " failures = CASE WHEN kept.expires_at <= now() THEN 1 ELSE kept.failures + 1 END,"
            " locked_until = NULL, expires_at = excluded.expires_at"
            " WHERE kept.locked_until IS NULL OR kept.locked_until <= now() RETURNING failures",
            subject,
            memory,
        )
        return failures

    async def lock(self, subject: bytes, lock: timedelta, memory: timedelta) -> None:
        """Locks `subject` from now on; its failures are remembered for `memory` after that."""
        await self._connection.execute(
            "UPDATE failed_guesses SET locked_until = now() + $2::interval,"
            " expires_at = now() + $2::interval + $3::interval WHERE subject = $1",
            subject,
            lock,
            memory,
        )

    async def hold(self, subject: bytes) -> timedelta | None:
        """As `locked_for`; a counter that exists stays ours until the transaction ends."""
        # The transaction may have begun before the lock that it waited for.
        left: timedelta | None = await self._connection.fetchval(
            "SELECT locked_until - clock_timestamp() FROM failed_guesses WHERE subject = $1"
            " FOR UPDATE",
            subject,
        )
        return left if left is not None and left > timedelta(0) else None

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
